import { describe, expect, it } from 'vitest'

import { meteredPower, outline, planSteps } from '../cockpit/plan'
import { endCause, finishedOf, hurtIn, isFinished, isInFlex, news, paid, wayOf } from '../cockpit/sessions'
import { recorded } from '../dev/recorded.ts'
import type { Session } from '../kit/api-types'
import de from '../kit/i18n/de.json'
import en from '../kit/i18n/en.json'
import { setLocale, t, tCode } from '../kit/i18n/index.svelte'
import { parseSnapshot } from '../kit/parse'

const busy = parseSnapshot(recorded('busy'))
const later = parseSnapshot(recorded('later'))

function inState(state: string): Session {
  const found = busy.sessions.find((session) => session.state === state)
  if (found === undefined) throw new Error(`no recorded session is ${state}`)
  return found
}

describe('the words', () => {
  const leaves = (node: object, path = ''): string[] =>
    Object.entries(node).flatMap(([key, value]) =>
      typeof value === 'string' ? [`${path}${key}`] : leaves(value as object, `${path}${key}.`),
    )
  const holes = (node: object): string[][] =>
    Object.values(node).flatMap((value) =>
      typeof value === 'string' ? [[...value.matchAll(/\{\w+\}/g)].map(String).sort()] : holes(value as object),
    )

  it('are the same in every language, with the same holes', () => {
    expect(leaves(de)).toEqual(leaves(en))
    expect(holes(de)).toEqual(holes(en))
  })

  it('count', () => {
    setLocale('en')
    expect(t('session.history', { n: 1 })).toBe('History: 1 entry')
    expect(t('session.history', { n: 3 })).toBe('History: 3 entries')
    setLocale('de')
    expect(t('session.history', { n: 1 })).toBe('Verlauf: 1 Eintrag')
    setLocale('en')
  })

  it('make a code legible that nobody translated', () => {
    expect(tCode('cause', 'driver')).toBe('stopped by the driver')
    expect(tCode('cause', 'station.rejected')).toBe('the station refused the start')
    expect(tCode('cause', 'meter.went_back')).toBe('meter went back')
    expect(tCode('cause', 'toString')).toBe('toString')
  })
})

describe('a session paid in FLEX', () => {
  const chain = busy.chain
  const inFlex = { ...inState('settled'), escrow: chain.contracts.flex_tab }

  it('shows its money as FLEX, and others theirs as before', () => {
    setLocale('en')
    expect(paid('2500000', inFlex, chain)).toBe('2.50\u00a0FLEX')
    expect(paid('2500000', inState('settled'), chain)).toBe('€2.50')
    expect(paid('2500000', { ...inFlex, escrow: '0x2e7d2c03a9507ae265ecf5b5356885a53393a202' }, chain)).toBe('€2.50')
  })

  it('is none where the platform names no FLEX', () => {
    const old = { ...chain, contracts: { flex_tab: null } }
    expect(isInFlex({ ...inFlex, escrow: null }, old)).toBe(false)
  })
})

describe('a plan', () => {
  it('sums the segments of a step and turns energy into power', () => {
    const [step] = planSteps({
      made_at: '2026-06-01T07:00:00Z',
      start: '2026-06-01T07:00:00Z',
      step_s: 900,
      supply: [
        { step: 0, cap_wh: 1000, price: 10 },
        { step: 0, cap_wh: 500, price: -5 },
      ],
      step_price: [10],
      load_wh: [1250],
    })
    expect(step).toMatchObject({ supplyW: 6000n, loadW: 5000n, price: 10n })
    expect((step?.until ?? 0) - (step?.from ?? 0)).toBe(900_000)
  })

  it('is outlined by its peak and its prices', () => {
    const plan = busy.groups[0]?.plan
    const said = outline(plan ? planSteps(plan) : [])
    expect(said).toMatchObject({ low: -12000n, high: 74300n })
    expect(outline([])).toBeNull()
  })

  it('stands beside what was metered in its running step, once that is more than a moment', () => {
    const plan = busy.groups[0]?.plan
    const steps = plan ? planSteps(plan) : []
    const since = plan?.start ?? ''
    expect(meteredPower({ since, until: '2026-06-01T07:25:00Z', wh: 1_000, power_w: 6_000 }, steps)).toBe(6_000n)
    expect(meteredPower({ since, until: '2026-06-01T07:15:30Z', wh: 30, power_w: null }, steps)).toBeNull()
    const before = { since: '2026-06-01T07:00:00Z', until: since, wh: 1_000, power_w: 4_000 }
    expect(meteredPower(before, steps)).toBeNull()
    expect(meteredPower(null, steps)).toBeNull()
  })
})

describe('who is hurt', () => {
  it('are the sessions of the group itself, who lacks most first', () => {
    const group = busy.groups[0]
    if (group === undefined) throw new Error('no group is recorded')
    const own = busy.sessions.filter(({ code }) => group.charge_points.some((point) => point.code === code))
    const [one, other] = own
    if (one === undefined || other === undefined) throw new Error('no two sessions are recorded')
    const sessions = [{ ...one, short_wh: 200 }, { ...other, short_wh: 900 }, { ...one, code: 'elsewhere', short_wh: 5 }]
    expect(hurtIn(group, sessions).map(({ short_wh }) => short_wh)).toEqual([900, 200])
    expect(hurtIn(group, own)).toEqual([])
  })
})

describe('the way of a session', () => {
  const told = (session: Session): string => wayOf(session).map((point) => `${point.state}:${point.at}`).join(' ')

  it('leads from the reservation to the settlement', () => {
    expect(told(inState('charging'))).toBe(
      'reserved:done funded:done starting:done charging:now metered:open settled:open',
    )
    expect(told(inState('suspended'))).toContain('suspended:now metered:open')
    expect(told(inState('settled'))).not.toMatch(/now|open/)
  })

  it('ends where nobody paid, and where the money went back', () => {
    expect(told(inState('expired'))).toBe('reserved:done expired:done')
    expect(told(inState('refunded'))).toBe('reserved:done funded:done starting:done refunded:done')
  })

  it('ends for a reason that the money does not hide', () => {
    const settled = inState('settled')
    expect(endCause({ ...settled, cause: 'claimed' })).toBe('delivered')
    expect(endCause(inState('refunded'))).toBe('no_car')
    expect(endCause({ ...settled, timeline: [], cause: 'full' })).toBe('full')
  })

  it('is over when the receipt is final', () => {
    expect(isFinished(inState('metered'))).toBe(true)
    expect(isFinished(inState('suspended'))).toBe(false)
  })

  it('shows the one that ended last first', () => {
    const ended = (id: string, at: string) => ({ ...inState('settled'), id, stopped_at: at })
    const sessions = [
      ended('early', '2026-06-01T08:00:00Z'),
      inState('suspended'),
      ended('late', '2026-06-01T15:40:00Z'),
      ended('noon', '2026-06-01T13:23:00+02:00'),
    ]
    expect(finishedOf(sessions).map((session) => session.id)).toEqual(['late', 'noon', 'early'])
  })
})

describe('news', () => {
  it('is what was refused and what finished since', () => {
    const { refused, finished } = news(busy, later)
    expect(refused.map((refusal) => refusal.energy_wh)).toEqual([50_000])
    expect(finished.map((session) => session.cause)).toEqual(['departure'])
  })

  it('is nothing when nothing happened', () => {
    expect(news(busy, busy)).toEqual({ refused: [], finished: [] })
  })
})
