/**
 * The two verifiers say the same of every file: of the committed vectors, and of newer ones, which the checker in
 * Python judges while the test runs.
 */

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

import { build } from 'vite'
import { describe, expect, test } from 'vitest'

import { sha256Hex } from '../verify/sha256.ts'
import { InvalidInput, verifySchedule } from '../verify/verify.ts'

type File = string | { hex: string }
interface Vectors {
  problems: File[]
  answers: File[]
  vectors: [number, number, string, string, string][]
}

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const committed = JSON.parse(readFileSync(here('./verdict-vectors.json'), 'utf8')) as Vectors
const python = here('../../.venv/bin/python')
const SEED = 20_260_901
const CASES = 400

describe('the verifier in TypeScript', () => {
  test('says of every committed vector what the one in Python said', () => {
    expect(committed.vectors.length).toBeGreaterThan(300)
    expect(judged(committed)).toEqual(committed.vectors)
  })

  test('says of thousands of new files what the one in Python says', () => {
    const module = ['-m', 'tests.unit.verify.verdict_vectors', '--seed', String(SEED), '--cases', String(CASES)]
    const told = execFileSync(python, module, { cwd: here('../..'), encoding: 'utf8', maxBuffer: 2 ** 28 })
    const vectors = JSON.parse(told) as Vectors
    expect(judged(vectors)).toEqual(vectors.vectors)
    const codes = new Set(vectors.vectors.map(([, , , code]) => code))
    console.log(`${vectors.vectors.length} vectors with ${codes.size} different codes: both verifiers agree`)
    expect(vectors.vectors.length).toBeGreaterThan(4_000)
  }, 120_000)

  test('adds up past 2^53 to the last unit', () => {
    const most = 2 ** 31 - 1
    const cars = Array.from({ length: 3 }, (_, n) => ({ id: `car-${n}`, arrival: 0, departure: 1, energy_wh: most, max_wh: most }))
    const cap = { step: 0, cap_wh: most, price: most }
    const problem = bytes({
      format: 'evmesh.problem/1', start: '2026-09-01T06:00:00Z', step_s: 900, steps: 1, supply: [cap, cap, cap], requests: cars,
    })
    const answer = (objective: bigint): Uint8Array =>
      bytes({
        format: 'evmesh.schedule/1', problem_sha256: sha256Hex(problem), status: 'optimal',
        rows: cars.map(({ id }) => ({ id, first: 0, wh: [most] })), step_price: [most], objective: String(objective),
      })
    const cost = 3n * BigInt(most) ** 2n
    expect(verifySchedule(problem, answer(cost))).toEqual({ ok: true, code: '', path: '' })
    for (const wrong of [cost - 1n, cost + 1n]) {
      expect(verifySchedule(problem, answer(wrong)).code).toBe('schedule.objective_differs')
    }
  })

  test('hashes as SHA-256 does, around every block boundary', () => {
    for (let length = 0; length < 200; length++) {
      const data = Uint8Array.from({ length }, (_, at) => (at * 167 + length) % 256)
      expect(sha256Hex(data)).toBe(createHash('sha256').update(data).digest('hex'))
    }
  })

  test('is small, and needs nothing but the language', async () => {
    const built = await build({
      configFile: false,
      logLevel: 'silent',
      build: { write: false, minify: true, lib: { entry: here('../verify/verify.ts'), formats: ['es'] } },
    })
    const [output] = [built].flat()
    if (!output || !('output' in output)) throw new Error('nothing was built')
    const chunk = output.output[0]
    const kib = gzipSync(chunk.code, { level: 9 }).length / 1024
    console.log(`the verifier as one module: ${kib.toFixed(2)} KiB gzipped`)
    expect(chunk.imports).toEqual([])
    expect(kib).toBeLessThan(6)
  })
})

function judged({ problems, answers, vectors }: Vectors): Vectors['vectors'] {
  const raw = [problems, answers].map((files) => files.map(read)) as [Uint8Array[], Uint8Array[]]
  return vectors.map(([problem, answer]) => [problem, answer, ...verdict(raw[0][problem]!, raw[1][answer]!)])
}

function verdict(problem: Uint8Array, answer: Uint8Array): [string, string, string] {
  try {
    const { ok, code, path } = verifySchedule(problem, answer)
    return [ok ? 'true' : 'false', code, path]
  } catch (error) {
    if (error instanceof InvalidInput) return ['unreadable', error.code, error.path]
    throw error
  }
}

function read(file: File): Uint8Array {
  return typeof file === 'string' ? new TextEncoder().encode(file) : Uint8Array.from(Buffer.from(file.hex, 'hex'))
}

function bytes(document: object): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(document))
}
