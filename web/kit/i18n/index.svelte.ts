/**
 * The words of the pages. `en.json` is keyed by feature and decides which keys there are; every other language has the
 * same ones (a test compares). A text with `one` and `other` is chosen by `n`.
 */

import { count, type Locale } from '../units'
import de from './de.json'
import en from './en.json'

type Plural = { one: string; other: string }
type Leaves<T, Path extends string = ''> = {
  [Key in keyof T & string]: T[Key] extends string | Plural ? `${Path}${Key}` : Leaves<T[Key], `${Path}${Key}.`>
}[keyof T & string]

export type Key = Leaves<typeof en>
export type Params = Record<string, string | number>

export const LOCALES: readonly Locale[] = ['en', 'de']
const TEXTS: Record<Locale, typeof en> = { en, de }
const CHOICE = 'evmesh.language'

const current = $state<{ locale: Locale }>({ locale: firstLocale() })

/** The language shown now; reading it in a component follows a change. */
export function locale(): Locale {
  return current.locale
}

export function setLocale(chosen: Locale): void {
  current.locale = chosen
  try {
    localStorage.setItem(CHOICE, chosen)
  } catch {
    // A browser that stores nothing (private mode) still switches; it only forgets.
  }
}

/** Give the text of `key` in the language shown now, with its {placeholders} filled in: numbers, which are whole, as counts. */
export function t(key: Key, params: Params = {}): string {
  return fill(lookUp(current.locale, key) ?? key, current.locale, params)
}

/** Give the text of a code that the platform chose, say a status: its words where we have them, else the code made legible. */
export function tCode(feature: 'status' | 'state' | 'history' | 'reason' | 'cause' | 'flag' | 'observed_state', code: string): string {
  // A code may hold points of its own, so it is looked up whole.
  const words: Record<string, string> = TEXTS[current.locale][feature]
  return Object.hasOwn(words, code) ? (words[code] ?? code) : code.replaceAll(/[_.]/g, ' ')
}

function lookUp(inLocale: Locale, key: string): string | Plural | undefined {
  let node: unknown = TEXTS[inLocale]
  for (const part of key.split('.')) {
    if (typeof node !== 'object' || node === null || !Object.hasOwn(node, part)) return undefined
    node = (node as Record<string, unknown>)[part]
  }
  return node as string | Plural
}

function fill(text: string | Plural, inLocale: Locale, params: Params): string {
  const chosen = typeof text === 'string' ? text : text[form(inLocale, params['n'])]
  return chosen.replaceAll(/\{(\w+)\}/g, (hole, name: string) => {
    const given = params[name] ?? hole
    return typeof given === 'number' ? count(given, inLocale) : given
  })
}

function form(inLocale: Locale, n: string | number | undefined): keyof Plural {
  return new Intl.PluralRules(inLocale).select(Number(n)) === 'one' ? 'one' : 'other'
}

function firstLocale(): Locale {
  let wanted: readonly string[] = []
  try {
    const chosen = localStorage.getItem(CHOICE)
    wanted = chosen === null ? navigator.languages : [chosen]
  } catch {
    wanted = globalThis.navigator?.languages ?? []
  }
  for (const tag of wanted) {
    const match = LOCALES.find((known) => known === tag.slice(0, 2).toLowerCase())
    if (match !== undefined) return match
  }
  return 'en'
}
