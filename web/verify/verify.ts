/**
 * Check a schedule or a refusal against its problem, without planning anything: the conditions of docs/formats.md,
 * "Planning", exact and in integers. It shares no code with the checker in Python; both must say the same of every
 * file, which web/tests/verify.test.ts holds them to.
 *
 * Whole numbers of a file are below 2^31, so a product of two, or a sum of 100,000, is exact in a double. What can be
 * more is a bigint: loads and capacities of a step (an array has fewer than 2^32 items, so 64 bits hold their sum),
 * costs and deficits.
 */

import { InvalidInput } from './errors.ts'
import { MAX_INT } from './json.ts'
import { parseProblem, type Problem, type Request, type Segment } from './problem.ts'
import { parseSchedule, type No, type Row, type Yes } from './schedule.ts'
import { sha256Hex } from './sha256.ts'

export { InvalidInput } from './errors.ts'

/** Whether a certificate holds; if not, a stable code and the path of what is false. */
export interface Verdict {
  readonly ok: boolean
  readonly code: string
  readonly path: string
}

class Untrue extends Error {
  constructor(
    readonly code: string,
    readonly path: string,
  ) {
    super(code)
  }
}

/**
 * Check `evmesh.schedule/1` against `evmesh.problem/1`, both as the bytes of their files.
 *
 * Throws InvalidInput where the problem cannot be read: then there is nothing to hold an answer against. An answer
 * that cannot be read is a false one.
 */
export function verifySchedule(problemRaw: Uint8Array, scheduleRaw: Uint8Array): Verdict {
  const problem = parseProblem(problemRaw)
  try {
    const answer = parseSchedule(scheduleRaw)
    if (answer.problemSha256 !== sha256Hex(problemRaw)) throw new Untrue('schedule.other_problem', 'problem_sha256')
    if (answer.status === 'optimal') checkYes(problem, answer)
    else checkNo(problem, answer)
  } catch (error) {
    if (error instanceof Untrue || error instanceof InvalidInput) {
      return { ok: false, code: error.code, path: error.path }
    }
    throw error
  }
  return { ok: true, code: '', path: '' }
}

function checkYes(problem: Problem, answer: Yes): void {
  if (answer.stepPrice.length !== problem.steps) throw new Untrue('schedule.step_count', 'step_price')
  const load = new BigInt64Array(problem.steps)
  const pairs = join(problem, answer.rows, (request, row, path) => {
    checkRow(request, row, path, problem.steps)
    row.wh.forEach((wh, k) => {
      if (wh) load[row.first + k]! += BigInt(wh)
    })
  })
  let cost = 0n
  cheapestFirst(problem).forEach((segments, step) => {
    cost += costOfStep(step, load[step]!, segments, answer.stepPrice[step]!)
  })
  for (const [request, row, path] of pairs) checkNoCheaperStep(request, row, path, answer.stepPrice)
  if (cost !== answer.objective) throw new Untrue('schedule.objective_differs', 'objective')
}

type Pair = [Request, Row, string]

/** Join rows and requests one to one, in the order of the rows, and look at each pair. */
function join(problem: Problem, rows: readonly Row[], look: (...pair: Pair) => void): Pair[] {
  const waiting = new Map(problem.requests.map((request) => [request.id, request]))
  const served = new Set<string>()
  const pairs = rows.map((row, number): Pair => {
    const request = waiting.get(row.id)
    if (!request) {
      throw new Untrue(served.has(row.id) ? 'schedule.row_twice' : 'schedule.row_unknown', `rows[${number}].id`)
    }
    waiting.delete(row.id)
    served.add(row.id)
    const pair: Pair = [request, row, `rows[${number}]`]
    look(...pair)
    return pair
  })
  if (waiting.size) throw new Untrue('schedule.row_missing', 'rows')
  return pairs
}

/** Condition 1: inside the window, between 0 and maxWh, and energyWh in all. */
function checkRow(request: Request, row: Row, path: string, steps: number): void {
  if (row.first < 0 || row.first + row.wh.length > steps) throw new Untrue('schedule.outside_horizon', `${path}.first`)
  let sum = 0
  row.wh.forEach((wh, k) => {
    const step = row.first + k
    if (wh < 0) throw new Untrue('schedule.negative', `${path}.wh[${k}]`)
    if (wh > request.maxWh) throw new Untrue('schedule.above_max', `${path}.wh[${k}]`)
    if (wh && !(request.arrival <= step && step < request.departure)) {
      throw new Untrue('schedule.outside_window', `${path}.wh[${k}]`)
    }
    sum += wh
  })
  if (sum !== request.energyWh) throw new Untrue('schedule.energy_differs', `${path}.wh`)
}

function cheapestFirst(problem: Problem): Segment[][] {
  const bySteps: Segment[][] = Array.from({ length: problem.steps }, () => [])
  for (const segment of problem.supply) bySteps[segment.step]!.push(segment)
  for (const segments of bySteps) segments.sort((one, other) => one.price - other.price)
  return bySteps
}

/** Conditions 2 and 3: fill the segments in price order; gives Σ Wh × price. */
function costOfStep(step: number, loadWh: bigint, segments: readonly Segment[], price: number): bigint {
  let left = loadWh
  let cost = 0n
  for (const segment of segments) {
    const cap = BigInt(segment.capWh)
    const used = left < cap ? left : cap
    left -= used
    cost += used * BigInt(segment.price)
    if (used && segment.price > price) throw new Untrue('schedule.price_below_used', `step_price[${step}]`)
    if (used < cap && segment.price < price) throw new Untrue('schedule.price_above_unfilled', `step_price[${step}]`)
  }
  if (left) throw new Untrue('schedule.over_capacity', `supply of step ${step}`)
  return cost
}

/** Condition 4: the dearest step it uses is not above the cheapest where it could take more. */
function checkNoCheaperStep(request: Request, row: Row, path: string, stepPrice: readonly number[]): void {
  let dearestUsed = -Infinity
  let cheapestFree = Infinity
  for (let step = request.arrival; step < request.departure; step++) {
    const price = stepPrice[step]!
    const wh = row.wh[step - row.first] ?? 0
    if (wh > 0 && price > dearestUsed) dearestUsed = price
    if (wh < request.maxWh && price < cheapestFree) cheapestFree = price
  }
  if (dearestUsed > cheapestFree) throw new Untrue('schedule.not_cheapest', path)
}

function checkNo(problem: Problem, answer: No): void {
  let previous = -1
  answer.steps.forEach((step, number) => {
    if (!(previous < step && step < problem.steps)) throw new Untrue('refusal.bad_steps', `steps[${number}]`)
    previous = step
  })
  const deficit = deficitWh(problem, answer.steps)
  if (deficit <= 0n) throw new Untrue('refusal.no_deficit', 'steps')
  const written = deficit < BigInt(MAX_INT) ? Number(deficit) : MAX_INT // as far as a document's integers reach
  if (answer.deficitWh !== written) throw new Untrue('refusal.deficit_differs', 'deficit_wh')
  answer.offers.forEach((offer, number) => {
    if (offer.energyWh <= 0) throw new Untrue('refusal.bad_offer', `offers[${number}].energy_wh`)
    if (!(offer.departure > 0 && offer.departure <= problem.steps)) {
      throw new Untrue('refusal.bad_offer', `offers[${number}].departure`)
    }
  })
}

/** Σ max(0, energy − maxWh × steps of the window outside the set) − supply of the set. */
function deficitWh(problem: Problem, steps: readonly number[]): bigint {
  const named = new Set(steps)
  const namedBefore = new Int32Array(problem.steps + 1)
  for (let step = 0; step < problem.steps; step++) {
    namedBefore[step + 1] = namedBefore[step]! + (named.has(step) ? 1 : 0)
  }
  let deficit = 0n
  for (const request of problem.requests) {
    const inside = namedBefore[request.departure]! - namedBefore[request.arrival]!
    const elsewhere = request.maxWh * (request.departure - request.arrival - inside)
    if (request.energyWh > elsewhere) deficit += BigInt(request.energyWh - elsewhere)
  }
  for (const segment of problem.supply) if (named.has(segment.step)) deficit -= BigInt(segment.capWh)
  return deficit
}
