/** What the page makes of a session's state: where it stands on its way, where it is shown, in which colour. */

import type { Cap, Chain, ChargePoint, Group, Offer, Refusal, Session, Snapshot } from '../kit/api-types'
import type { Tone } from '../kit/components/props'
import { locale, t } from '../kit/i18n/index.svelte'
import { flex, money, type Whole } from '../kit/units'

/** No more energy flows. Metered is one of them: the receipt is final, only the money still moves. */
const FINISHED = new Set(['metered', 'settled', 'expired', 'refunding', 'refunded'])
const ENDS = new Set(['stopping', 'metered', 'expired', 'refunding'])
const WAY = ['reserved', 'funded', 'starting', 'charging', 'metered', 'settled']
const BEFORE_ENERGY = WAY.slice(0, 3)

const TONES: Record<string, Tone> = {
  reserved: 'wait',
  funded: 'wait',
  starting: 'active',
  charging: 'go',
  suspended: 'wait',
  stopping: 'active',
  metered: 'active',
  settled: 'go',
  expired: 'calm',
  refunding: 'wait',
  refunded: 'calm',
}

const STATUS_TONES: Record<string, Tone> = {
  Available: 'calm',
  Preparing: 'active',
  Charging: 'go',
  SuspendedEVSE: 'wait',
  SuspendedEV: 'wait',
  Finishing: 'active',
  Reserved: 'wait',
  Occupied: 'active',
  Unavailable: 'bad',
  Faulted: 'bad',
}

const OBSERVED_TONES: Record<string, Tone> = {
  charging: 'go',
  off: 'bad',
  unknown: 'wait',
  scheduled_downtime: 'wait',
  unscheduled_downtime: 'bad',
}

/** It is paid in FLEX of the operator, and not in the site's own money. */
export const isInFlex = (session: Session, chain: Chain): boolean =>
  chain.contracts.flex_tab !== null && session.escrow === chain.contracts.flex_tab

/** Show an amount of what a session is paid in. */
export function paid(units: Whole, session: Session, chain: Chain): string {
  return isInFlex(session, chain) ? flex(units, locale()) : money(units, locale())
}

export const isFinished = (session: Session): boolean => FINISHED.has(session.state)

/** Give the sessions that are over, the one that ended last first. */
export function finishedOf(sessions: Session[]): Session[] {
  const end = (session: Session): string => session.stopped_at ?? session.started_at ?? session.arrival
  return sessions.filter(isFinished).sort((one, other) => Date.parse(end(other)) - Date.parse(end(one)))
}

export const stateTone = (state: string): Tone => TONES[state] ?? 'calm'
export const observedTone = (state: string): Tone => OBSERVED_TONES[state] ?? 'calm'
export const statusTone = (status: string): Tone => STATUS_TONES[status] ?? 'calm'

export interface WayPoint {
  /** The state whose name stands there. */
  state: string
  at: 'done' | 'now' | 'open'
}

/** Give the way of a session from its reservation to its settlement, or to the end that it took instead. */
export function wayOf(session: Session): WayPoint[] {
  const { state } = session
  if (state === 'expired') return ends(['reserved'], 'expired')
  if (state === 'refunding' || state === 'refunded') {
    const passed = new Set(session.timeline.map((row) => row.target))
    return ends(
      BEFORE_ENERGY.filter((step) => passed.has(step)),
      state,
    )
  }
  const within = state === 'suspended' || state === 'stopping' ? 'charging' : state
  const here = WAY.indexOf(within)
  return WAY.map((step, index) => ({
    state: step === within ? state : step,
    at: index < here || state === 'settled' ? 'done' : index === here ? 'now' : 'open',
  }))
}

function ends(passed: string[], last: string): WayPoint[] {
  const done = passed.map((state): WayPoint => ({ state, at: 'done' }))
  return [...done, { state: last, at: last === 'refunding' ? 'now' : 'done' }]
}

/** Why energy ended, or why none came: the cause of the transition that ended it. Later ones tell of the money. */
export function endCause(session: Session): string {
  const end = session.timeline.findLast((row) => ENDS.has(row.target) && row.cause !== '')
  return end?.cause ?? session.cause
}

/** Say in words who set a limit. */
export function capSource(cap: Cap): string {
  const [kind, ...rest] = cap.source.split(':')
  const name = rest.join(':')
  return kind === 'grid' || kind === 'operator' ? t(`cap.${kind}`, { name }) : cap.source
}

/** Give the sessions of a group that will not have all that was promised to them, who lacks most first. */
export function hurtIn(group: Group, sessions: Session[]): Session[] {
  const codes = new Set(group.charge_points.map((point) => point.code))
  const lack = (session: Session): number => session.short_wh ?? 0
  return sessions
    .filter((session) => codes.has(session.code) && lack(session) > 0)
    .sort((one, other) => lack(other) - lack(one))
}

export interface Totals {
  powerW: bigint
  capacityW: bigint
  /** Cars that draw power. */
  charging: number
  points: number
}

export function totals(snapshot: Snapshot): Totals {
  const points = snapshot.groups.flatMap((group) => group.charge_points)
  return {
    powerW: snapshot.groups.reduce((sum, group) => sum + BigInt(group.power_w), 0n),
    capacityW: snapshot.groups.reduce((sum, group) => sum + BigInt(group.capacity_w), 0n),
    charging: points.filter((point) => point.power_w > 0).length,
    points: points.length,
  }
}

/** Something is wrong with it: what an operator looks at first. */
export const isTroubled = (point: ChargePoint): boolean =>
  !point.online || point.exceeds_limit || point.status === 'Faulted' || point.status === 'Unavailable'

export const isFree = (point: ChargePoint): boolean => point.session === null && point.status === 'Available'

/** A value as old as this, of a car that charges, is worth a word: meters tell theirs every minute. */
const OLD_MS = 5 * 60_000

export const isOld = (measuredAt: string | null, now: number): boolean =>
  measuredAt !== null && now - Date.parse(measuredAt) > OLD_MS

/** An offer is the energy that was asked for, later, or less of it in time. */
export const isLater = (refusal: Refusal, offer: Offer): boolean => offer.energy_wh >= refusal.energy_wh

export interface News {
  refused: Snapshot['refusals']
  finished: Session[]
}

/** What happened between two snapshots that is worth saying aloud. */
export function news(before: Snapshot, after: Snapshot): News {
  const known = new Set(before.refusals.map((refusal) => `${refusal.at} ${refusal.code}`))
  const wasRunning = new Set(before.sessions.filter((session) => !isFinished(session)).map((session) => session.id))
  return {
    refused: after.refusals.filter((refusal) => !known.has(`${refusal.at} ${refusal.code}`)),
    finished: after.sessions.filter((session) => wasRunning.has(session.id) && isFinished(session) && session.receipt),
  }
}
