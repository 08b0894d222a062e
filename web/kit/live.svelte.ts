/** The newest snapshot, how live it is, and the site's own clock. Only views read this; components take props. */

import type { Snapshot } from './api-types'
import { SiteStream, type Trouble } from './client'

/** `stale`: the platform answers, and has nothing newer than what is shown. */
export type Connection = 'connecting' | 'live' | 'stale' | 'reconnecting'

const TICK_MS = 500
/** Snapshots tell whole seconds: over less than this a rate would be noise. */
const SHORTEST_RATE_MS = 500

export class LiveSite {
  snapshot = $state.raw<Snapshot | null>(null)
  connection = $state<Connection>('connecting')
  trouble = $state.raw<Trouble | null>(null)
  /** Seconds until the next try, 0 while one is under way. */
  retryIn = $state(0)
  /** Site time in ms since 1970: runs on between snapshots at the platform's speed, stands still without a connection. */
  now = $state(0)

  #takenAt = 0
  /** Site ms in one real ms, as it went last: the platform slows down while its work lags. */
  #rate = 1
  #retryAt = 0
  #stream = new SiteStream({
    onSnapshot: (snapshot) => this.#take(snapshot),
    onProblem: (problem) => this.#wait({ kind: 'problem', problem }),
    onTrouble: (trouble, retryMs) => this.#lose(trouble, retryMs),
  })

  /** Follow the site until the returned function is called. */
  start(): () => void {
    const ticker = setInterval(() => this.#tick(), TICK_MS)
    const back = (): void => {
      if (this.connection !== 'live' && this.connection !== 'stale' && !document.hidden) this.retryNow()
    }
    globalThis.addEventListener('online', back)
    document.addEventListener('visibilitychange', back)
    void this.#stream.run()
    return () => {
      clearInterval(ticker)
      globalThis.removeEventListener('online', back)
      document.removeEventListener('visibilitychange', back)
      this.#stream.close()
    }
  }

  retryNow(): void {
    this.#retryAt = 0
    this.retryIn = 0
    this.#stream.retryNow()
  }

  #take(snapshot: Snapshot): void {
    const restarted = this.connection !== 'live'
    const [present, before] = [performance.now(), this.snapshot]
    this.#rate = snapshot.speed
    if (before !== null && !restarted && present - this.#takenAt > SHORTEST_RATE_MS) {
      const passed = Date.parse(snapshot.now) - Date.parse(before.now)
      this.#rate = Math.min(snapshot.speed, Math.max(1, passed / (present - this.#takenAt)))
    }
    this.#takenAt = present
    this.snapshot = snapshot
    this.connection = 'live'
    this.trouble = null
    // Platform time slows down when work lags, so ours may be ahead: then it waits. It goes back only with a new platform.
    const told = Date.parse(snapshot.now)
    this.now = restarted ? told : Math.max(this.now, told)
  }

  #wait(trouble: Trouble): void {
    this.connection = 'stale'
    this.trouble = trouble
    this.retryIn = 0
  }

  #lose(trouble: Trouble, retryMs: number): void {
    this.connection = this.snapshot === null ? 'connecting' : 'reconnecting'
    this.trouble = trouble
    this.#retryAt = performance.now() + retryMs
    this.retryIn = Math.ceil(retryMs / 1000)
  }

  #tick(): void {
    const present = performance.now()
    if (this.connection === 'live' && this.snapshot !== null) {
      const elapsed = (present - this.#takenAt) * this.#rate
      this.now = Math.max(this.now, Date.parse(this.snapshot.now) + elapsed)
    } else if (this.connection !== 'stale') {
      this.retryIn = Math.max(0, Math.ceil((this.#retryAt - present) / 1000))
    }
  }
}
