/** A group's plan as rows of power and price, for the chart and for the table beside it. */

import type { MeteredLoad, Plan } from '../kit/api-types'

export interface PlanStep {
  /** ms since 1970; half-open. */
  from: number
  until: number
  /** What is planned to flow, on average over the step. */
  loadW: bigint
  /** What all supply segments of the step can give together. */
  supplyW: bigint
  /** λ, micro-currency per kWh; null where no plan governs the step. */
  price: bigint | null
}

export function planSteps(plan: Plan): PlanStep[] {
  const supply = new Map<number, bigint>()
  for (const segment of plan.supply) {
    supply.set(segment.step, (supply.get(segment.step) ?? 0n) + BigInt(segment.cap_wh))
  }
  const start = Date.parse(plan.start)
  const stepMs = plan.step_s * 1000
  const watts = (wh: bigint): bigint => (wh * 3_600_000n) / BigInt(Math.round(stepMs))
  return plan.step_price.map((price, step) => ({
    from: start + step * stepMs,
    until: start + (step + 1) * stepMs,
    loadW: watts(BigInt(plan.load_wh[step] ?? 0)),
    supplyW: watts(supply.get(step) ?? 0n),
    price: price === null ? null : BigInt(price),
  }))
}

/** What a chart says in one sentence: its highest load, and between what its price moves. Null without steps. */
export function outline(steps: PlanStep[]): { peak: PlanStep; low: bigint; high: bigint } | null {
  const prices = steps.flatMap(({ price }) => (price === null ? [] : [price]))
  let [peak, low] = [steps[0], prices[0]]
  if (peak === undefined || low === undefined) return null
  let high = low
  for (const step of steps) if (step.loadW > peak.loadW) peak = step
  for (const price of prices) {
    if (price < low) low = price
    if (price > high) high = price
  }
  return { peak, low, high }
}

/** The mean power of what was metered in the running step; null where nothing is known, or of another step. */
export function meteredPower(metered: MeteredLoad | null, steps: PlanStep[]): bigint | null {
  const [running] = steps
  if (metered === null || running === undefined || Date.parse(metered.since) !== running.from) return null
  return metered.power_w === null ? null : BigInt(metered.power_w)
}
