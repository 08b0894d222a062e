/** Reading `evmesh.problem/1`: see docs/formats.md, "The problem". */

import { InvalidInput } from './errors.ts'
import { Fields, checkFormat } from './fields.ts'
import { MAX_INT, parseJson } from './json.ts'

export interface Segment {
  readonly step: number
  readonly capWh: number
  /** Micro-currency per kWh, of any sign. */
  readonly price: number
}

export interface Request {
  readonly id: string
  readonly arrival: number
  /** One past the last step of the window. */
  readonly departure: number
  readonly energyWh: number
  /** The most in one step. */
  readonly maxWh: number
}

export interface Problem {
  readonly steps: number
  readonly supply: readonly Segment[]
  readonly requests: readonly Request[]
}

const MAX_STEP_S = 86_400
const MAX_STEPS = 100_000
const MAX_ID_LENGTH = 128

/** Read a problem strictly; throws InvalidInput with the path of the field. */
export function parseProblem(raw: Uint8Array): Problem {
  const fields = new Fields(parseJson(raw))
  checkFormat(fields, 'evmesh.problem/1')
  const startS = parseInstant(fields.text('start'), 'start')
  const stepS = fields.integer('step_s')
  const steps = fields.integer('steps')
  checkGrid(startS, stepS, steps)
  const supply = fields.objects('supply').map(parseSegment)
  const requests = fields.objects('requests').map(parseRequest)
  fields.done()
  checkInside(steps, supply, requests)
  return { steps, supply, requests }
}

function parseSegment(fields: Fields): Segment {
  const segment = { step: fields.integer('step'), capWh: fields.integer('cap_wh'), price: fields.integer('price') }
  checkRange(segment.step, 0, fields.path('step'))
  checkRange(segment.capWh, 0, fields.path('cap_wh'))
  checkRange(segment.price, -MAX_INT, fields.path('price'))
  fields.done()
  return segment
}

function parseRequest(fields: Fields): Request {
  const request = {
    id: fields.text('id'),
    arrival: fields.integer('arrival'),
    departure: fields.integer('departure'),
    energyWh: fields.integer('energy_wh'),
    maxWh: fields.integer('max_wh'),
  }
  if (!isId(request.id)) {
    throw new InvalidInput('problem.bad_id', `an id has 1 to ${MAX_ID_LENGTH} printable characters`, fields.path('id'))
  }
  checkRange(request.arrival, 0, fields.path('arrival'))
  checkRange(request.departure, 0, fields.path('departure'))
  if (request.arrival >= request.departure) {
    throw new InvalidInput('problem.empty_window', 'the departure is not after the arrival', fields.path('departure'))
  }
  checkRange(request.energyWh, 0, fields.path('energy_wh'))
  checkRange(request.maxWh, 0, fields.path('max_wh'))
  fields.done()
  return request
}

/** Characters are code points. Which of them are printable is for the reader's Unicode version to say. */
function isId(text: string): boolean {
  const length = [...text].length
  return length >= 1 && length <= MAX_ID_LENGTH && !/[\p{C}\p{Z}]/u.test(text.replaceAll(' ', ''))
}

function checkRange(value: number, least: number, path: string): void {
  if (value < least || value > MAX_INT) {
    throw new InvalidInput('problem.out_of_range', `${value} is not ${least} to ${MAX_INT}`, path)
  }
}

function checkInside(steps: number, supply: readonly Segment[], requests: readonly Request[]): void {
  supply.forEach((segment, number) => {
    if (segment.step >= steps) throw outside(segment.step, `supply[${number}].step`)
  })
  const seen = new Set<string>()
  requests.forEach((request, number) => {
    if (request.departure > steps) throw outside(request.departure, `requests[${number}].departure`)
    if (seen.has(request.id)) {
      throw new InvalidInput('problem.duplicate_id', 'the id stands twice', `requests[${number}].id`)
    }
    seen.add(request.id)
  })
}

function outside(step: number, path: string): InvalidInput {
  return new InvalidInput('problem.outside_horizon', `step ${step} is outside the horizon`, path)
}

const INSTANT =
  /^([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.0+)?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))$/
const FIRST_S = secondsOf(1, 1, 1, 0)
const LAST_S = secondsOf(9999, 12, 31, 86_399)

/** Give the seconds since 1970 of an RFC 3339 time in whole seconds, in the years 1 to 9999 of UTC. */
function parseInstant(text: string, path: string): number {
  const bad = new InvalidInput('document.bad_time', 'not an RFC 3339 time in whole seconds', path)
  const found = INSTANT.exec(text)
  if (!found) throw bad
  const [year, month, day, hour, minute, second] = found.slice(1, 7).map(Number) as [
    number, number, number, number, number, number,
  ]
  if (!isDay(year, month, day) || hour > 23 || minute > 59 || second > 59) throw bad
  const offsetS = Number(found[8] ?? 0) * 3600 + Number(found[9] ?? 0) * 60
  if (offsetS >= 86_400) throw bad
  const localS = secondsOf(year, month, day, hour * 3600 + minute * 60 + second)
  const instantS = found[7] === '-' ? localS + offsetS : localS - offsetS
  if (instantS < FIRST_S || instantS > LAST_S) throw bad
  return instantS
}

function isDay(year: number, month: number, day: number): boolean {
  if (year < 1 || month < 1 || month > 12 || day < 1) return false
  const afterwards = new Date(0)
  afterwards.setUTCFullYear(year, month, 0) // the last day of the month
  return day <= afterwards.getUTCDate()
}

function secondsOf(year: number, month: number, day: number, secondOfDay: number): number {
  const midnight = new Date(0)
  midnight.setUTCFullYear(year, month - 1, day) // unlike Date.UTC this takes the years below 100 as they are
  return midnight.getTime() / 1000 + secondOfDay
}

function checkGrid(startS: number, stepS: number, steps: number): void {
  if (stepS < 1 || stepS > MAX_STEP_S) {
    throw new InvalidInput('time.bad_step', `a step lasts 1 to ${MAX_STEP_S} seconds`, 'step_s')
  }
  if (steps < 0 || steps > MAX_STEPS) {
    throw new InvalidInput('time.too_many_steps', `a grid has 0 to ${MAX_STEPS} steps`, 'steps')
  }
  if (startS + stepS * steps > LAST_S) {
    throw new InvalidInput('time.out_of_range', 'the grid ends after the year 9999', 'start')
  }
}
