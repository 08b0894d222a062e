/**
 * The platform's HTTP API for pages: one live stream that comes back by itself.
 *
 * The stream is read with fetch rather than EventSource, because EventSource hides the server's keep-alive comments: a
 * phone that changed networks would wait on a dead connection for ever. Here silence ends a connection.
 */

import type { Problem, Session, Snapshot } from './api-types'
import { changed } from './changes'
import { checkSnapshot, NotUnderstood, parseProblem, readJson } from './parse'
import { EventParser, type ServerEvent } from './sse'

/** The platform writes at least a comment every 15 s; three missed ones mean that nobody is there. */
const SILENCE_MS = 45_000
const FIRST_RETRY_MS = 500
const LAST_RETRY_MS = 15_000

/** Why there is no live data just now. `away`: no answer at all. */
export type Trouble =
  | { kind: 'away' }
  | { kind: 'problem'; problem: Problem }
  | { kind: 'status'; status: number }
  | { kind: 'not_understood'; path: string; expected: string }

export interface Listener {
  onSnapshot(snapshot: Snapshot): void
  /** The platform is there and has nothing newer than what it sent last; it says when that is over. */
  onProblem(problem: Problem): void
  /** The stream is gone; the next try comes in `retryMs`. */
  onTrouble(trouble: Trouble, retryMs: number): void
}

class Troubled extends Error {
  constructor(readonly trouble: Trouble) {
    super(trouble.kind)
  }
}

/** Follows `GET /v1/events` until it is closed. */
export class SiteStream {
  #stopped = new AbortController()
  #attempt = 0
  #wake: () => void = () => {}
  /** The newest document as it came, for the next changes to be made to; only what is checked leaves this class. */
  #document: unknown = null

  constructor(
    private readonly listener: Listener,
    private readonly url = '/v1/events',
  ) {}

  async run(): Promise<void> {
    while (!this.#stopped.signal.aborted) {
      const trouble = await this.#follow()
      if (this.#stopped.signal.aborted) return
      const retryMs = backoff(this.#attempt++)
      this.listener.onTrouble(trouble, retryMs)
      await this.#pause(retryMs)
    }
  }

  /** Try again now, where it waits for the next try: the network is back, the page is looked at again. */
  retryNow(): void {
    this.#attempt = 0
    this.#wake()
  }

  close(): void {
    this.#stopped.abort()
    this.#wake()
  }

  /** Read one connection to its end, and say why it ended. */
  async #follow(): Promise<Trouble> {
    const connection = new AbortController()
    const end = (): void => connection.abort()
    this.#stopped.signal.addEventListener('abort', end)
    try {
      await this.#read(connection)
    } catch (error) {
      if (error instanceof Troubled) return error.trouble
      if (error instanceof NotUnderstood) return { kind: 'not_understood', path: error.path, expected: error.expected }
      throw error
    } finally {
      this.#stopped.signal.removeEventListener('abort', end)
      connection.abort()
    }
    return { kind: 'away' }
  }

  async #read(connection: AbortController): Promise<void> {
    let silence = setTimeout(() => connection.abort(), SILENCE_MS)
    try {
      const response = await fetch(this.url, {
        headers: { accept: 'text/event-stream' },
        cache: 'no-store',
        signal: connection.signal,
      }).catch(nobodyThere)
      if (!response.ok || response.body === null) throw new Troubled(await troubleOf(response))
      const parser = new EventParser()
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
      for (;;) {
        const { done, value } = await reader.read().catch(nobodyThere)
        if (done) return
        clearTimeout(silence)
        silence = setTimeout(() => connection.abort(), SILENCE_MS)
        for (const event of parser.push(value)) this.#hear(event)
      }
    } finally {
      clearTimeout(silence)
    }
  }

  #hear({ name, data }: ServerEvent): void {
    if (name === 'problem') {
      const problem = parseProblem(data)
      if (problem === null) throw new NotUnderstood('problem', 'a problem document')
      this.listener.onProblem(problem)
    }
    if (name !== 'snapshot' && name !== 'changes') return
    const told = readJson(data)
    this.#document = name === 'snapshot' ? told : changed(this.#document, told)
    const snapshot = checkSnapshot(this.#document)
    this.#attempt = 0
    this.listener.onSnapshot(snapshot)
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}

/** 0.5 s, doubled each time up to 15 s, and up to a quarter more so that a thousand pages do not come back at once. */
export function backoff(attempt: number, random: () => number = Math.random): number {
  const base = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(attempt, 10))
  return Math.round(base * (1 + random() / 4))
}

/** A connection that fails or falls silent is trouble; every other error is ours, and is not caught. */
function nobodyThere(): never {
  throw new Troubled({ kind: 'away' })
}

async function troubleOf(response: Response): Promise<Trouble> {
  const problem = parseProblem(await response.text().catch(nobodyThere))
  return problem === null ? { kind: 'status', status: response.status } : { kind: 'problem', problem }
}

export interface Paper {
  kind: 'receipt' | 'settlement' | 'reward' | 'voucher' | 'problem' | 'schedule' | 'trust'
  url: string
  /** Under which name it is saved; the commands below name it so. */
  file: string
}

/** What there is to check a session with, byte for byte as it was signed or stored. */
export function papersOf(session: Pick<Session, 'id' | 'receipt' | 'settlement' | 'reward' | 'plan'>): Paper[] {
  const document = (kind: 'receipt' | 'settlement' | 'reward'): Paper => ({
    kind,
    url: `/v1/${kind}s/${encodeURIComponent(session.id)}`,
    file: `evmesh-${kind}-${session.id}.json`,
  })
  const voucher: Paper = {
    kind: 'voucher',
    url: `/v1/rewards/${encodeURIComponent(session.id)}/voucher`,
    file: `evmesh-flex-voucher-${session.id}.json`,
  }
  const part = (kind: 'problem' | 'schedule', plan: string): Paper => ({
    kind,
    url: `/v1/plans/${encodeURIComponent(plan)}/${kind}`,
    file: `evmesh-${kind}-${plan.slice(0, 8)}.json`,
  })
  return [
    ...(session.receipt ? [document('receipt')] : []),
    ...(session.settlement ? [document('settlement')] : []),
    ...(session.reward === null ? [] : [document('reward')]),
    ...(session.reward === null || BigInt(session.reward.units) === 0n ? [] : [voucher]),
    ...(session.plan === null ? [] : [part('problem', session.plan), part('schedule', session.plan)]),
    { kind: 'trust', url: '/v1/trust', file: 'evmesh-trust.json' },
  ]
}

/** Say what to type, where the papers were saved, to check them without asking anybody. */
export function verifyCommands(papers: Paper[]): string[] {
  const file = (kind: Paper['kind']): string => papers.find((paper) => paper.kind === kind)?.file ?? ''
  const given = (option: string, kind: Paper['kind']): string => (file(kind) === '' ? '' : ` --${option} ${file(kind)}`)
  const plan = `${given('problem', 'problem')}${given('schedule', 'schedule')}`
  const [receipt, settlement, reward] = [file('receipt'), file('settlement'), file('reward')]
  return [
    ...(receipt === '' ? [] : [`evmesh verify receipt ${receipt}${given('trust', 'trust')}${plan}`]),
    ...(reward === ''
      ? []
      : [`evmesh verify reward ${reward}${given('receipt', 'receipt')}${given('voucher', 'voucher')}${given('trust', 'trust')}`]),
    ...(settlement === '' ? [] : [`evmesh verify settlement ${settlement}${given('receipt', 'receipt')}${given('trust', 'trust')}`]),
  ]
}

/** The proof that a refused request cannot fit. */
export function proofOf(refusal: number): { problem: string; schedule: string; command: string } {
  const file = (part: string): string => `evmesh-refusal-${refusal}-${part}.json`
  return {
    problem: file('problem'),
    schedule: file('schedule'),
    command: `evmesh plan verify ${file('problem')} ${file('schedule')}`,
  }
}

export const refusalUrl = (refusal: number, part: 'problem' | 'schedule'): string => `/v1/refusals/${refusal}/${part}`
