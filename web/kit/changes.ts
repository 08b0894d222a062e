/**
 * Make the newest document of the one before and a `changes` event; `app/changes.py` says what such an event holds.
 *
 * Nothing is changed in place: what is already shown stays as it is.
 */

import { NotUnderstood } from './parse'

type Members = Record<string, unknown>

export function changed(old: unknown, change: unknown, path = ''): unknown {
  if (!isObject(change)) return change
  if (Array.isArray(old)) return changedList(old, change, path)
  if (!isObject(old)) return change
  const found: Members = { ...old }
  for (const [name, part] of Object.entries(change)) found[name] = changed(old[name], part, `${path}.${name}`)
  return found
}

function changedList(old: unknown[], change: Members, path: string): unknown[] {
  const { drop = 0, at = {}, first = [], last = [] } = change
  if (typeof drop !== 'number' || drop > old.length || !isObject(at) || !Array.isArray(first) || !Array.isArray(last)) {
    throw new NotUnderstood(path, 'a change of a list')
  }
  const kept = old
    .slice(0, old.length - drop)
    .map((item, place) => (String(place) in at ? changed(item, at[String(place)], `${path}[${place}]`) : item))
  return [...(first as unknown[]), ...kept, ...(last as unknown[])]
}

const isObject = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
