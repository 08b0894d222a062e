/** Reading `evmesh.schedule/1`, its form only: whether the numbers are true is for `verify.ts` to say. */

import { InvalidInput } from './errors.ts'
import { Fields, checkFormat } from './fields.ts'
import { parseJson } from './json.ts'

export interface Row {
  readonly id: string
  readonly first: number
  /** The energy of the steps from `first` on; 0 in all others. */
  readonly wh: readonly number[]
}

export interface Yes {
  readonly status: 'optimal'
  readonly problemSha256: string
  readonly rows: readonly Row[]
  /** λ of each step. */
  readonly stepPrice: readonly number[]
  readonly objective: bigint
}

export interface Offer {
  readonly energyWh: number
  readonly departure: number
}

export interface No {
  readonly status: 'infeasible'
  readonly problemSha256: string
  readonly steps: readonly number[]
  readonly deficitWh: number
  readonly offers: readonly Offer[]
}

/** Read either form of an answer; throws InvalidInput with the path of the field. */
export function parseSchedule(raw: Uint8Array): Yes | No {
  const fields = new Fields(parseJson(raw))
  checkFormat(fields, 'evmesh.schedule/1')
  const problemSha256 = fields.text('problem_sha256')
  if (!/^[0-9a-f]{64}$/.test(problemSha256)) {
    throw new InvalidInput('schedule.bad_hash', 'not 64 lower-case hex digits', 'problem_sha256')
  }
  const status = fields.text('status')
  let answer: Yes | No
  if (status === 'optimal') answer = parseYes(fields, problemSha256)
  else if (status === 'infeasible') answer = parseNo(fields, problemSha256)
  else throw new InvalidInput('schedule.bad_status', 'neither optimal nor infeasible', 'status')
  fields.done()
  return answer
}

function parseYes(fields: Fields, problemSha256: string): Yes {
  const rows = fields.objects('rows').map((one) => {
    const row = { id: one.text('id'), first: one.integer('first'), wh: one.integers('wh') }
    one.done()
    return row
  })
  const stepPrice = fields.integers('step_price')
  const objective = fields.text('objective')
  if (!/^(?:0|-?[1-9][0-9]{0,39})$/.test(objective)) {
    throw new InvalidInput('schedule.bad_objective', 'not a decimal integer', 'objective')
  }
  return { status: 'optimal', problemSha256, rows, stepPrice, objective: BigInt(objective) }
}

function parseNo(fields: Fields, problemSha256: string): No {
  const steps = fields.integers('steps')
  const deficitWh = fields.integer('deficit_wh')
  const offers = !fields.has('offers')
    ? []
    : fields.objects('offers').map((one) => {
        const offer = { energyWh: one.integer('energy_wh'), departure: one.integer('departure') }
        one.done()
        return offer
      })
  return { status: 'infeasible', problemSha256, steps, deficitWh, offers }
}
