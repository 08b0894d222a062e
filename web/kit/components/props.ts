/** What components are handed that is more than a text or a number. */

/** What a colour says: all is well, under way, waiting, wrong, nothing special. */
export type Tone = 'go' | 'active' | 'wait' | 'bad' | 'calm'

/** A row of a timeline. */
export interface Entry {
  key: string
  /** For people. */
  time: string
  /** For machines: RFC 3339. */
  at: string
  what: string
  why: string
}

/** A station of a way. */
export interface Step {
  key: string
  label: string
  state: 'done' | 'now' | 'open'
  /** The state in words, for those who do not see the colours. */
  words: string
}
