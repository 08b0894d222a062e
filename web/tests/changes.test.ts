import { describe, expect, it } from 'vitest'

import { changed } from '../kit/changes'
import { papersOf, verifyCommands } from '../kit/client'

describe('changes', () => {
  const old = { now: '09:00', plan: null, sessions: [{ id: 'b', wh: 1 }, { id: 'a', wh: 2 }] }

  it('change what they name and nothing else', () => {
    expect(changed(old, { now: '09:01' })).toEqual({ ...old, now: '09:01' })
    expect(changed(old, { plan: { load: [1] } })).toEqual({ ...old, plan: { load: [1] } })
    expect(changed({ plan: { load: [1] } }, { plan: null })).toEqual({ plan: null })
  })

  it('put new items first or last, drop old ones at the end and change the others in their place', () => {
    const change = { sessions: { drop: 1, at: { '0': { wh: 5 } }, first: [{ id: 'c', wh: 0 }] } }
    expect(changed(old, change)).toEqual({ ...old, sessions: [{ id: 'c', wh: 0 }, { id: 'b', wh: 5 }] })
    expect(changed([1, 2, 3], { at: { '1': 9 }, last: [4] })).toEqual([1, 9, 3, 4])
    expect(changed([1, 2, 3], [7])).toEqual([7])
  })

  it('leave what is shown as it is', () => {
    const before = JSON.stringify(old)
    changed(old, { sessions: { at: { '0': { wh: 7 } } } })
    expect(JSON.stringify(old)).toBe(before)
  })

  it('that do not fit are refused, so that the page asks for the whole again', () => {
    expect(() => changed({ sessions: [] }, { sessions: { drop: 1 } })).toThrow('a change of a list')
  })
})

describe('the papers of a session', () => {
  it('are those that there are, and so is what to type', () => {
    const none = papersOf({ id: 'S', receipt: false, settlement: false, reward: null, plan: null })
    expect(none.map((paper) => paper.url)).toEqual(['/v1/trust'])
    expect(verifyCommands(none)).toEqual([])
    const metered = papersOf({ id: 'S', receipt: true, settlement: false, reward: null, plan: null })
    expect(verifyCommands(metered)).toEqual(['evmesh verify receipt evmesh-receipt-S.json --trust evmesh-trust.json'])
  })

  it('have the reward once it is final, and its voucher where something was earned', () => {
    const reward = { units: '5', cumulative: '7', day: '2026-06-01', is_made: false }
    const earned = papersOf({ id: 'S', receipt: true, settlement: false, reward, plan: null })
    expect(earned.map((paper) => paper.kind)).toEqual(['receipt', 'reward', 'voucher', 'trust'])
    expect(verifyCommands(earned)[1]).toBe(
      'evmesh verify reward evmesh-reward-S.json --receipt evmesh-receipt-S.json --voucher evmesh-flex-voucher-S.json --trust evmesh-trust.json',
    )
    const nothing = papersOf({ id: 'S', receipt: true, settlement: false, reward: { ...reward, units: '0' }, plan: null })
    expect(nothing.map((paper) => paper.kind)).toEqual(['receipt', 'reward', 'trust'])
  })
})
