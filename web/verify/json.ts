/**
 * A JSON reader that refuses what the formats refuse, where JSON.parse would guess: doubled keys, floats, booleans,
 * integers past 2^31 - 1, lone surrogates. First the text must be JSON; only then are its values looked at, in the
 * order in which they stand, so that every reader names the same fault first.
 */

import { InvalidInput } from './errors.ts'

export const MAX_INT = 2 ** 31 - 1

const MAX_DEPTH = 64

export type Value = number | string | null | Value[] | JsonObject | Wrong

export class JsonObject {
  /** The first key that stands twice. */
  doubled: string | null = null
  readonly members = new Map<string, Value>()
}

/** A value that is JSON (or that readers take for it, such as NaN) and yet not allowed. */
class Wrong {
  constructor(
    readonly code: string,
    readonly what: string,
  ) {}
}

/** Read a file that holds one JSON object; throws InvalidInput. */
export function parseJson(raw: Uint8Array): JsonObject {
  refuseDeepNesting(raw)
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(raw)
  } catch {
    throw new InvalidInput('document.not_utf8', 'the file is not UTF-8')
  }
  const value = new Reader(text).document()
  check(value, '')
  if (!(value instanceof JsonObject)) {
    throw new InvalidInput('document.not_an_object', 'the file must hold one JSON object')
  }
  return value
}

/** Give the path of a member. */
export function memberPath(path: string, key: string): string {
  return path ? `${path}.${key}` : key
}

function refuseDeepNesting(raw: Uint8Array): void {
  let depth = 0
  let inText = false
  for (let at = 0; at < raw.length; at++) {
    const byte = raw[at]
    if (inText) {
      if (byte === 0x5c) at++
      else if (byte === 0x22) inText = false
    } else if (byte === 0x22) {
      inText = true
    } else if (byte === 0x5b || byte === 0x7b) {
      depth++
      if (depth > MAX_DEPTH) {
        throw new InvalidInput('document.too_deep', `the file nests deeper than ${MAX_DEPTH} levels`)
      }
    } else if (byte === 0x5d || byte === 0x7d) {
      depth--
    }
  }
}

function check(value: Value, path: string): void {
  if (typeof value === 'string') {
    if (/\p{Surrogate}/u.test(value)) throw new InvalidInput('document.not_utf8', 'a lone surrogate is not text', path)
  } else if (Array.isArray(value)) {
    value.forEach((item, position) => check(item, `${path}[${position}]`))
  } else if (value instanceof JsonObject) {
    checkObject(value, path)
  } else if (value instanceof Wrong) {
    throw new InvalidInput(value.code, value.what, path)
  }
}

function checkObject(value: JsonObject, path: string): void {
  if (value.doubled !== null) {
    throw new InvalidInput('document.duplicate_key', 'a key stands twice', memberPath(path, value.doubled))
  }
  for (const [key, item] of value.members) {
    check(key, path)
    check(item, memberPath(path, key))
  }
}

const SPACE = /[ \t\n\r]*/y
const NUMBER = /(-?(?:0|[1-9][0-9]*))(\.[0-9]+)?([eE][-+]?[0-9]+)?/y
const WORD = /null|true|false|NaN|-?Infinity/y
// What stands in a text as itself: anything but the quote, the backslash and control characters.
const PLAIN = /[^"\\\u0000-\u001f]*/y
const ESCAPED = /\\(?:(["\\/bfnrt])|u([0-9a-fA-F]{4}))/y
const ESCAPES: Record<string, string> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }

class Reader {
  private at = 0

  constructor(private readonly text: string) {}

  document(): Value {
    this.match(SPACE)
    const value = this.value()
    this.match(SPACE)
    if (this.at !== this.text.length) throw this.notJson()
    return value
  }

  private value(): Value {
    const next = this.text[this.at]
    if (next === '{') return this.object()
    if (next === '[') return this.array()
    if (next === '"') return this.string()
    const number = this.match(NUMBER)
    if (number) return asInteger(number)
    return asWord(this.match(WORD)?.[0] ?? this.fail())
  }

  private object(): JsonObject {
    const found = new JsonObject()
    if (this.opensEmpty('}')) return found
    for (;;) {
      if (this.text[this.at] !== '"') throw this.notJson()
      const key = this.string()
      this.match(SPACE)
      this.expect(':')
      this.match(SPACE)
      if (found.members.has(key)) found.doubled ??= key
      found.members.set(key, this.value())
      if (this.ends('}')) return found
    }
  }

  private array(): Value[] {
    const found: Value[] = []
    if (this.opensEmpty(']')) return found
    for (;;) {
      found.push(this.value())
      if (this.ends(']')) return found
    }
  }

  private opensEmpty(close: string): boolean {
    this.at++
    this.match(SPACE)
    if (this.text[this.at] !== close) return false
    this.at++
    return true
  }

  /** Read past `close`, or past a comma that something must follow. */
  private ends(close: string): boolean {
    this.match(SPACE)
    if (this.text[this.at] === close) {
      this.at++
      return true
    }
    this.expect(',')
    this.match(SPACE)
    return false
  }

  private string(): string {
    this.at++
    let found = ''
    for (;;) {
      found += this.match(PLAIN)?.[0] ?? ''
      if (this.text[this.at] === '"') {
        this.at++
        return found
      }
      const [, short, code] = this.match(ESCAPED) ?? this.fail()
      found += short === undefined ? String.fromCharCode(parseInt(code ?? '', 16)) : (ESCAPES[short] ?? short)
    }
  }

  private expect(character: string): void {
    if (this.text[this.at] !== character) throw this.notJson()
    this.at++
  }

  private match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.at
    const found = pattern.exec(this.text)
    if (found) this.at += found[0].length
    return found
  }

  private fail(): never {
    throw this.notJson()
  }

  private notJson(): InvalidInput {
    return new InvalidInput('document.not_json', `not JSON at character ${this.at}`)
  }
}

function asInteger([text, digits = '', fraction, exponent]: RegExpExecArray): number | Wrong {
  if (fraction !== undefined || exponent !== undefined) return notAnInteger(text)
  // Past eleven characters a double would round; the integer is too large in any case.
  if (digits.length > 11 || Math.abs(Number(digits)) > MAX_INT) {
    return new Wrong('document.number_too_large', 'the number is past 2^31 - 1')
  }
  return Number(digits) + 0 // -0 is 0
}

function asWord(word: string): null | Wrong {
  return word === 'null' ? null : notAnInteger(word)
}

function notAnInteger(text: string): Wrong {
  return new Wrong('document.not_an_integer', `${text} is not allowed here`)
}
