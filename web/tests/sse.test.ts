import { describe, expect, it } from 'vitest'

import { backoff } from '../kit/client'
import { EventParser } from '../kit/sse'

const STREAM = ': ping\r\n\r\nevent: snapshot\r\ndata: {"a":\r\ndata: 1}\r\nid: 7\r\n\r\ndata:plain\n\nevent: lost\n\n'
const EVENTS = [
  { name: 'snapshot', data: '{"a":\n1}' },
  { name: 'message', data: 'plain' },
]

describe('the event stream', () => {
  it('gives the same events wherever it is cut', () => {
    for (let cut = 0; cut <= STREAM.length; cut++) {
      const parser = new EventParser()
      expect([...parser.push(STREAM.slice(0, cut)), ...parser.push(STREAM.slice(cut))]).toEqual(EVENTS)
    }
  })

  it('gives the same events when it comes letter by letter', () => {
    const parser = new EventParser()
    expect([...STREAM].flatMap((letter) => parser.push(letter))).toEqual(EVENTS)
  })

  it('gives nothing for an event that is cut off', () => {
    expect(new EventParser().push('event: snapshot\ndata: {}\n')).toEqual([])
  })
})

describe('coming back', () => {
  it('waits longer each time, up to a bound', () => {
    const waits = [0, 1, 2, 3, 4, 5, 99].map((attempt) => backoff(attempt, () => 0))
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 15000, 15000])
  })

  it('is spread, so that all pages do not come at once', () => {
    expect(backoff(5, () => 1)).toBe(18750)
  })
})
