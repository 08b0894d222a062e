import { InvalidInput } from './errors.ts'
import { JsonObject, memberPath, type Value } from './json.ts'

/** One JSON object, taken apart: each key once, of the type asked for; `done()` then lets no unknown key pass. */
export class Fields {
  private readonly left: Map<string, Value>

  constructor(
    value: Value,
    private readonly at = '',
  ) {
    if (!(value instanceof JsonObject)) throw badType('an object must stand here', at)
    this.left = new Map(value.members)
  }

  path(key: string): string {
    return memberPath(this.at, key)
  }

  has(key: string): boolean {
    return this.left.has(key)
  }

  integer(key: string): number {
    const value = this.take(key)
    if (typeof value !== 'number') throw badType('an integer must stand here', this.path(key))
    return value
  }

  text(key: string): string {
    const value = this.take(key)
    if (typeof value !== 'string') throw badType('a string must stand here', this.path(key))
    return value
  }

  integers(key: string): number[] {
    return this.items(key).map((value, position) => {
      if (typeof value !== 'number') throw badType('an integer must stand here', `${this.path(key)}[${position}]`)
      return value
    })
  }

  objects(key: string): Fields[] {
    return this.items(key).map((value, position) => new Fields(value, `${this.path(key)}[${position}]`))
  }

  done(): void {
    for (const key of this.left.keys()) {
      throw new InvalidInput('document.unknown_key', 'the key is not known here', this.path(key))
    }
  }

  private items(key: string): Value[] {
    const value = this.take(key)
    if (!Array.isArray(value)) throw badType('an array must stand here', this.path(key))
    return value
  }

  private take(key: string): Value {
    const value = this.left.get(key)
    if (value === undefined) throw new InvalidInput('document.missing_key', 'the key is missing', this.path(key))
    this.left.delete(key)
    return value
  }
}

/** Refuse a document of another kind or version before its fields are looked at. */
export function checkFormat(fields: Fields, expected: string): void {
  if (fields.text('format') !== expected) {
    throw new InvalidInput('document.unknown_format', `the format is not ${expected}`, 'format')
  }
}

function badType(what: string, path: string): InvalidInput {
  return new InvalidInput('document.bad_type', what, path)
}
