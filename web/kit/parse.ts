/**
 * Check that JSON from the platform is what `api-types.ts` says, and name the place where it is not.
 *
 * The shapes below are typed by the interfaces, so a field that is added there and forgotten here does not compile.
 * Unknown fields are dropped without a word: an older page works with a newer platform.
 */

import type {
  Anchor,
  Balances,
  Cap,
  Chain,
  ChargePoint,
  Contracts,
  Dispatch,
  DriverTab,
  Earned,
  Equipment,
  FlexBalances,
  Group,
  MeteredLoad,
  ObservedCharger,
  Offer,
  Plan,
  Problem,
  Refusal,
  Session,
  Site,
  Snapshot,
  SupplySegment,
  Transition,
} from './api-types'

export class NotUnderstood extends Error {
  constructor(
    readonly path: string,
    readonly expected: string,
  ) {
    super(`${path}: expected ${expected}`)
    this.name = 'NotUnderstood'
  }
}

type Check<T> = (value: unknown, path: string) => T

const text: Check<string> = (value, path) => {
  if (typeof value !== 'string') throw new NotUnderstood(path, 'text')
  return value
}

const integer: Check<number> = (value, path) => {
  if (!Number.isSafeInteger(value)) throw new NotUnderstood(path, 'a whole number')
  return value as number
}

const positive: Check<number> = (value, path) => {
  if (typeof value !== 'number' || !(value > 0)) throw new NotUnderstood(path, 'a number above 0')
  return value
}

const truth: Check<boolean> = (value, path) => {
  if (typeof value !== 'boolean') throw new NotUnderstood(path, 'true or false')
  return value
}

const units: Check<string> = (value, path) => {
  if (typeof value !== 'string' || !/^-?\d{1,80}$/.test(value)) throw new NotUnderstood(path, 'decimal digits in a string')
  return value
}

const instant: Check<string> = (value, path) => {
  if (typeof value !== 'string' || Number.isNaN(Date.parse(value))) throw new NotUnderstood(path, 'an RFC 3339 time')
  return value
}

const timeZone: Check<string> = (value, path) => {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: text(value, path) }) && (value as string)
  } catch {
    throw new NotUnderstood(path, 'a time zone that this browser knows')
  }
}

function orNull<T>(check: Check<T>): Check<T | null> {
  // A field that is missing counts as null: the platform may leave out what it does not know.
  return (value, path) => (value === null || value === undefined ? null : check(value, path))
}

function list<T>(check: Check<T>): Check<T[]> {
  return (value, path) => {
    if (!Array.isArray(value)) throw new NotUnderstood(path, 'a list')
    return value.map((item, index) => check(item, `${path}[${index}]`))
  }
}

function object<T extends object>(shape: { [Key in keyof T]-?: Check<T[Key]> }): Check<T> {
  const fields = Object.entries(shape) as [keyof T & string, Check<T[keyof T & string]>][]
  return (value, path) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new NotUnderstood(path, 'an object')
    const given = value as Record<string, unknown>
    const found: Partial<T> = {}
    for (const [name, check] of fields) found[name] = check(given[name], path === '' ? name : `${path}.${name}`)
    return found as T
  }
}

const site = object<Site>({ name: text, time_zone: timeZone })
const chain = object<Chain>({
  chain_id: integer,
  block: integer,
  contracts: object<Contracts>({ flex_tab: orNull(text) }),
})

const cap = object<Cap>({ power_w: integer, source: text, since: instant, until: instant, reason: text })

const chargePoint = object<ChargePoint>({
  code: text,
  name: orNull(text),
  evse_id: text,
  charge_point: text,
  connector: integer,
  rating_w: integer,
  price: integer,
  status: text,
  online: truth,
  power_w: integer,
  limit_w: orNull(integer),
  exceeds_limit: truth,
  measured_at: orNull(instant),
  soc_percent: orNull(integer),
  session: orNull(text),
  cap: orNull(cap),
})

const plan = object<Plan>({
  made_at: instant,
  start: instant,
  step_s: positive,
  supply: list(object<SupplySegment>({ step: integer, cap_wh: integer, price: orNull(integer) })),
  step_price: list(orNull(integer)),
  load_wh: list(integer),
})

const equipmentHere = {
  pv: orNull(object({ power_w: orNull(integer), peak_w: integer, beyond_rating: truth })),
  other: orNull(object({ power_w: orNull(integer), counted_w: integer, beyond_rating: truth })),
  battery: orNull(
    object({
      power_w: orNull(integer),
      soc_percent: orNull(integer),
      capacity_wh: integer,
      asked_w: orNull(integer),
      beyond_rating: truth,
    }),
  ),
}

const equipment = object<Equipment>({
  ...equipmentHere,
  parts: list(object<Equipment['parts'][number]>({ name: text, ...equipmentHere })),
})

const observed = object<ObservedCharger>({
  name: text,
  make: text,
  model: text,
  rating_w: integer,
  online: truth,
  state: text,
  power_w: orNull(integer),
  session_wh: orNull(integer),
  measured_at: orNull(instant),
})

const group = object<Group>({
  name: text,
  capacity_w: integer,
  power_w: integer,
  charge_points: list(chargePoint),
  plan: orNull(plan),
  metered: orNull(object<MeteredLoad>({ since: instant, until: instant, wh: integer, power_w: orNull(integer) })),
  cap: orNull(cap),
  dispatch: orNull(object<Dispatch>({ at: instant, due_wh: integer, placed_wh: integer, gap_wh: integer })),
  equipment: orNull(equipment),
  observed: (value, path) => (value === undefined ? [] : list(observed)(value, path)), // an older platform has none
})

const earned = object<Earned>({ units: units, cumulative: units, day: text, is_made: truth })

const session = object<Session>({
  id: text,
  state: text,
  code: text,
  charge_point: text,
  connector: integer,
  payer: text,
  arrival: instant,
  departure: instant,
  energy_wh: integer,
  delivered_wh: integer,
  power_w: integer,
  limit_w: orNull(integer),
  exceeds_limit: truth,
  measured_at: orNull(instant),
  price: integer,
  escrow: orNull(text),
  cost: units,
  budget: units,
  due: orNull(units),
  started_at: orNull(instant),
  stopped_at: orNull(instant),
  cause: text,
  flags: list(text),
  short_wh: orNull(integer),
  wanted_wh: orNull(integer),
  reason: text,
  plan: orNull(text),
  receipt: truth,
  settlement: truth,
  reward: (value, path) => (value === undefined ? null : orNull(earned)(value, path)), // an older platform has none
  timeline: list(
    object<Transition>({ at: instant, event: text, source: orNull(text), target: text, cause: text }),
  ),
})

const refusal = object<Refusal>({
  number: integer,
  at: instant,
  code: text,
  energy_wh: integer,
  departure: instant,
  deficit_wh: integer,
  steps: integer,
  from: orNull(instant),
  until: orNull(instant),
  offers: list(object<Offer>({ energy_wh: integer, departure: instant })),
})

const tab = object<DriverTab>({ payer: text, spent: units, ceiling: units })

const balances = object<Balances>({
  operator: object<Balances['operator']>({ address: text, earned: units, paid_out: units }),
  escrow: units,
  drivers: list(tab),
  flex: orNull(object<FlexBalances>({ earned: units, paid_out: units, escrow: units, drivers: list(tab) })),
})

const anchor = object<Anchor>({
  at: instant,
  stream: text,
  size: integer,
  root: text,
  tx_hash: text,
  block: integer,
})

const snapshot = object<Snapshot>({
  site,
  now: instant,
  speed: positive,
  chain,
  groups: list(group),
  sessions: list(session),
  refusals: list(refusal),
  balances,
  anchors: list(anchor),
})

const problem = object<Problem>({ title: text, status: integer, detail: text, code: text, do: text })

/** Check that a document is a snapshot; throws NotUnderstood with the path of what does not fit. */
export function checkSnapshot(document: unknown): Snapshot {
  return snapshot(document, '')
}

/** Read a snapshot from its JSON. */
export function parseSnapshot(json: string): Snapshot {
  return checkSnapshot(readJson(json))
}

/** Read an RFC 9457 problem from its JSON; null where the answer is something else, say a proxy's page. */
export function parseProblem(json: string): Problem | null {
  try {
    return problem(readJson(json), '')
  } catch (error) {
    if (error instanceof NotUnderstood) return null
    throw error
  }
}

/** Read JSON of any kind. */
export function readJson(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    throw new NotUnderstood('the answer', 'JSON')
  }
}
