import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

import { afterEach, describe, expect, it } from 'vitest'

import { recorded } from '../dev/recorded.ts'
import type { Problem, Snapshot } from '../kit/api-types'
import { SiteStream, type Trouble } from '../kit/client'

type Told = Snapshot | Trouble | Problem
type Answer = (response: ServerResponse) => void

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

/** A real server whose nth connection gets the nth answer; a stream that follows it; what the stream told. */
async function follow(...answers: Answer[]): Promise<AsyncGenerator<Told>> {
  let connections = 0
  const server = createServer((_request, response) => answers[Math.min(connections++, answers.length - 1)]?.(response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const told: Told[] = []
  let heard = (): void => {}
  const tell = (what: Told): void => {
    told.push(what)
    heard()
  }
  const stream = new SiteStream(
    { onSnapshot: tell, onProblem: tell, onTrouble: (trouble) => (tell(trouble), queueMicrotask(() => stream.retryNow())) },
    `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/events`,
  )
  closers.push(() => {
    stream.close()
    server.closeAllConnections()
    server.close()
  })
  void stream.run()
  return (async function* () {
    for (;;) {
      while (told.length === 0) await new Promise<void>((resolve) => (heard = resolve))
      yield told.shift() as Told
    }
  })()
}

const live: Answer = (response) => {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  response.write(`: hello\n\nevent: snapshot\ndata: ${JSON.stringify(JSON.parse(recorded('empty')))}\n\n`)
}

const refused: Answer = (response) => {
  response.writeHead(503, { 'content-type': 'application/problem+json' })
  response.end('{"title":"Not ready","status":503,"detail":"no chain yet","code":"platform.starting","do":"wait"}')
}

describe('the live stream', () => {
  it('comes back after the server closed it', async () => {
    const events = await follow((response) => (live(response), response.end()), live)
    expect((await events.next()).value).toMatchObject({ site: { name: 'Canal Street' } })
    expect((await events.next()).value).toEqual({ kind: 'away' })
    expect((await events.next()).value).toMatchObject({ site: { name: 'Canal Street' } })
  })

  it('makes what changed to what it had, and says when there is nothing newer', async () => {
    const events = await follow((response) => {
      live(response)
      response.write('event: changes\ndata: {"now":"2026-06-01T02:00:07Z","site":{"name":"Quay"}}\n\n')
      response.write(`event: problem\ndata: {"title":"x","status":503,"detail":"","code":"chain.away","do":""}\n\n`)
      response.write('event: changes\ndata: {"speed":7}\n\n')
    })
    const first = (await events.next()).value as Snapshot
    const second = (await events.next()).value as Snapshot
    expect(second).toEqual({ ...first, now: '2026-06-01T02:00:07Z', site: { ...first.site, name: 'Quay' } })
    expect((await events.next()).value).toMatchObject({ code: 'chain.away' })
    expect((await events.next()).value).toEqual({ ...second, speed: 7 })
  })

  it('tells the platform’s own words, then recovers', async () => {
    const events = await follow(refused, live)
    expect((await events.next()).value).toMatchObject({ kind: 'problem', problem: { code: 'platform.starting' } })
    expect((await events.next()).value).toHaveProperty('site')
  })

  it('tells the status of an answer in no form that it knows', async () => {
    const events = await follow((response) => (response.writeHead(502), response.end('<html>')), live)
    expect((await events.next()).value).toEqual({ kind: 'status', status: 502 })
  })

  it('names the place of a snapshot that it does not understand', async () => {
    const events = await follow((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write('event: snapshot\ndata: {"site":{"name":"x"}}\n\n')
    }, live)
    expect((await events.next()).value).toMatchObject({ kind: 'not_understood', path: 'site.time_zone' })
  })
})
