import { describe, expect, it } from 'vitest'

import { recorded } from '../dev/recorded.ts'
import { NotUnderstood, parseProblem, parseSnapshot } from '../kit/parse'

type Json = Record<string, unknown>

function changed(change: (snapshot: { sessions: Json[]; groups: Json[]; site: Json } & Json) => void): string {
  const snapshot = JSON.parse(recorded('busy')) as Parameters<typeof change>[0]
  change(snapshot)
  return JSON.stringify(snapshot)
}

describe('a snapshot', () => {
  it('is read whole', () => {
    const snapshot = parseSnapshot(recorded('busy'))
    expect(snapshot.site.name).toBe('Canal Street')
    expect(snapshot.groups[0]?.charge_points).toHaveLength(8)
    expect(snapshot.sessions[0]?.timeline[0]?.target).toBe('reserved')
  })

  it('of an empty site is read', () => {
    expect(parseSnapshot(recorded('empty')).groups).toEqual([])
  })

  it('may hold fields that this page does not know', () => {
    const snapshot = parseSnapshot(changed((given) => (given['weather'] = { sun: true })))
    expect(snapshot).not.toHaveProperty('weather')
  })

  it('may leave out what may be null', () => {
    const snapshot = parseSnapshot(changed((given) => delete given.sessions[0]?.['limit_w']))
    expect(snapshot.sessions[0]?.limit_w).toBeNull()
  })

  it.each([
    ['a missing field', (given: Json) => delete given['speed'], 'speed'],
    ['money as a number', (given: { sessions: Json[] }) => (given.sessions[1]!['cost'] = 12), 'sessions[1].cost'],
    ['money with a point', (given: { sessions: Json[] }) => (given.sessions[1]!['cost'] = '1.2'), 'sessions[1].cost'],
    ['energy in fractions', (given: { sessions: Json[] }) => (given.sessions[0]!['energy_wh'] = 0.5), 'sessions[0].energy_wh'],
    ['a time that is none', (given: Json) => (given['now'] = 'soon'), 'now'],
    ['a zone that is none', (given: { site: Json }) => (given.site['time_zone'] = 'Mars/Olympus'), 'site.time_zone'],
    ['a list that is none', (given: { groups: Json[] }) => (given.groups[0]!['charge_points'] = {}), 'groups[0].charge_points'],
  ])('with %s is refused, and the place is named', (_what, change, path) => {
    expect(() => parseSnapshot(changed(change))).toThrow(expect.objectContaining({ path }) as NotUnderstood)
  })

  it('that is no JSON is refused', () => {
    expect(() => parseSnapshot('<html>')).toThrow(NotUnderstood)
  })
})

describe('a problem', () => {
  it('is read with its words', () => {
    const json = '{"type":"x","title":"Not ready","status":503,"detail":"no chain","code":"chain.away","do":"wait"}'
    expect(parseProblem(json)).toMatchObject({ title: 'Not ready', code: 'chain.away' })
  })

  it('that is a page of some proxy is none', () => {
    expect(parseProblem('<html>Bad gateway</html>')).toBeNull()
    expect(parseProblem('{"error":"x"}')).toBeNull()
  })
})
