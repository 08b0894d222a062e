/**
 * What the platform's HTTP API answers, as it stands in JSON: the snapshot of the site, and a problem (RFC 9457).
 *
 * Names and units are the wire's: `_w` watt, `_wh` watt-hours, `price` micro-currency per kWh. `parse.ts` checks an answer
 * against these types field by field; fields that a page does not know are let through.
 */

/** RFC 3339, UTC. */
export type Instant = string
/** A whole number of the token's smallest unit, in decimal digits: for `BigInt`, never for `Number`. */
export type Units = string
/** 0x and lower-case hex digits. */
export type Hex = string

export interface Snapshot {
  site: Site
  now: Instant
  /** Platform seconds in one real second. */
  speed: number
  chain: Chain
  groups: Group[]
  /** Newest first. */
  sessions: Session[]
  refusals: Refusal[]
  balances: Balances
  anchors: Anchor[]
}

export interface Site {
  name: string
  /** IANA name; times are shown in it. */
  time_zone: string
}

export interface Chain {
  chain_id: number
  block: number
  contracts: Contracts
}

/** As much of them as the page reads. */
export interface Contracts {
  /** The escrow over the operator's FLEX; null where the platform names none. */
  flex_tab: Hex | null
}

export interface Group {
  name: string
  capacity_w: number
  power_w: number
  charge_points: ChargePoint[]
  plan: Plan | null
  /** What the group drew since the running step began, where the platform tells it. */
  metered: MeteredLoad | null
  /** What lowers the group at present. */
  cap: Cap | null
  /** What the newest dispatch made of its plan. */
  dispatch: Dispatch | null
  /** What stands beside its charge points and tells what it does. */
  equipment: Equipment | null
  /** Chargers that a gateway reads and nobody pays here for. */
  observed: ObservedCharger[]
}

/** Null is not known. */
export interface ObservedCharger {
  name: string
  make: string
  model: string
  rating_w: number
  online: boolean
  /** unknown off idle charging scheduled_downtime unscheduled_downtime */
  state: string
  power_w: number | null
  session_wh: number | null
  /** When it said the newest of that. */
  measured_at: Instant | null
}

/** Powers in W are null where they are not known at present; `beyond_rating`: what was told was set aside. */
export interface EquipmentHere {
  pv: { power_w: number | null; peak_w: number; beyond_rating: boolean } | null
  /** Other equipment; `counted_w` is what is kept free for it. */
  other: { power_w: number | null; counted_w: number; beyond_rating: boolean } | null
  /** `power_w` is positive into the battery, and so is what it is asked to take. */
  battery: {
    power_w: number | null
    soc_percent: number | null
    capacity_wh: number
    asked_w: number | null
    beyond_rating: boolean
  } | null
}

/** On the group's own cable, and on those of its parts that have any. */
export interface Equipment extends EquipmentHere {
  parts: (EquipmentHere & { name: string })[]
}

export interface MeteredLoad {
  since: Instant
  until: Instant
  wh: number
  /** The mean power of that; null while the step is too young. */
  power_w: number | null
}

/** A limit that somebody set for a while, say the grid operator. */
export interface Cap {
  power_w: number
  /** Whose word it is, and its name: `grid:Netz West`, `operator:…`. */
  source: string
  since: Instant
  until: Instant
  reason: string
}

/** Energy for the rest of a step: no dispatch could place more than `gap_wh` beyond what is placed. */
export interface Dispatch {
  at: Instant
  due_wh: number
  placed_wh: number
  gap_wh: number
}

export interface ChargePoint {
  code: string
  /** What is written on it, where the site names it. */
  name: string | null
  evse_id: string
  charge_point: string
  connector: number
  rating_w: number
  price: number
  /** OCPP's own word: Available, Preparing, Charging, SuspendedEV, … */
  status: string
  online: boolean
  power_w: number
  /** What was allowed when the power was measured. */
  limit_w: number | null
  /** It draws more than it may, and not only for the moment in which a limit changes. */
  exceeds_limit: boolean
  /** When power and limit were so; null where nothing was measured in the present state. */
  measured_at: Instant | null
  soc_percent: number | null
  session: string | null
  /** What lowers this one alone at present. */
  cap: Cap | null
}

export interface Plan {
  made_at: Instant
  start: Instant
  step_s: number
  /** Any number of segments per step; their sum is what the step can give. */
  supply: SupplySegment[]
  /** λ of each step; null where no plan governs it. The first step is the running one. */
  step_price: (number | null)[]
  load_wh: number[]
}

export interface SupplySegment {
  step: number
  cap_wh: number
  price: number | null
}

export interface Session {
  id: string
  /** reserved funded starting charging suspended stopping metered settled expired refunding refunded */
  state: string
  code: string
  charge_point: string
  connector: number
  payer: Hex
  arrival: Instant
  departure: Instant
  energy_wh: number
  delivered_wh: number
  power_w: number
  /** As of a charge point. */
  limit_w: number | null
  exceeds_limit: boolean
  measured_at: Instant | null
  price: number
  /** What it is paid by, and so in which money: the escrow of the site's own, or `flex_tab`. */
  escrow: Hex | null
  cost: Units
  budget: Units
  due: Units | null
  started_at: Instant | null
  stopped_at: Instant | null
  cause: string
  flags: string[]
  /** What of its promise it will not have, or did not have for a cap. */
  short_wh: number | null
  /** What the car wants in all, by its own word. */
  wanted_wh: number | null
  /** Why the power is what it is. */
  reason: string
  /** The hash of the schedule that promised it, by which its plan is found. */
  plan: string | null
  receipt: boolean
  settlement: boolean
  /** What its flexibility earned; null until its group's day is final. */
  reward: Earned | null
  timeline: Transition[]
}

export interface Earned {
  units: Units
  /** All that the payer was ever rewarded, in the units of the operator's FLEX. */
  cumulative: Units
  day: string
  /** The units are there on chain. */
  is_made: boolean
}

export interface Transition {
  at: Instant
  event: string
  source: string | null
  target: string
  cause: string
}

export interface Refusal {
  number: number
  at: Instant
  code: string
  energy_wh: number
  departure: Instant
  /** By how much the certificate's steps are short; with no steps, by how much the request's own window is. */
  deficit_wh: number
  /** How many steps the certificate names. */
  steps: number
  /** The first and the last moment of those steps, where the platform tells them. */
  from: Instant | null
  until: Instant | null
  offers: Offer[]
}

export interface Offer {
  energy_wh: number
  departure: Instant
}

export interface Balances {
  operator: {
    address: Hex
    /** Claimed, still in the escrow. */
    earned: Units
    /** In the operator's account. */
    paid_out: Units
  }
  /** All tokens that the escrow holds. */
  escrow: Units
  drivers: DriverTab[]
  /** The same in the operator's FLEX, which is destroyed once it is paid out; null where none is told. */
  flex: FlexBalances | null
}

export interface FlexBalances {
  earned: Units
  paid_out: Units
  escrow: Units
  drivers: DriverTab[]
}

export interface DriverTab {
  payer: Hex
  spent: Units
  ceiling: Units
}

export interface Anchor {
  at: Instant
  stream: string
  /** Leaves in the tree. */
  size: number
  root: Hex
  tx_hash: Hex
  block: number
}

/** RFC 9457, as the platform fills it in. */
export interface Problem {
  title: string
  status: number
  detail: string
  code: string
  do: string
}
