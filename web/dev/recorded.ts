/**
 * For development without a platform: a Vite plugin that streams made-up snapshots at /v1/events.
 *
 * None of it is built into the pages. The snapshots in `snapshots/` have the platform's form and plausible numbers;
 * they are no record of a real site. `?show=empty` in the address of the page shows an empty site.
 */

import { readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'

import type { Plugin } from 'vite'

const EVERY_MS = 4_000

export function recorded(name: 'busy' | 'later' | 'empty'): string {
  return readFileSync(new URL(`./snapshots/${name}.json`, import.meta.url), 'utf8')
}

export function recordedApi(): Plugin {
  return {
    name: 'evmesh-recorded-api',
    apply: 'serve',
    configureServer(server) {
      server.middlewares.use('/v1/events', stream)
      server.middlewares.use('/v1/receipts', (_request, response) => {
        response.writeHead(404, { 'content-type': 'application/problem+json' })
        response.end('{"title":"No receipt","status":404,"detail":"recorded data has none","code":"receipt.none","do":""}')
      })
    },
  }
}

function stream(request: IncomingMessage, response: ServerResponse): void {
  const empty = request.headers.referer?.includes('show=empty') ?? false
  const turns = (empty ? ['empty'] : ['busy', 'later']) as ('busy' | 'later' | 'empty')[]
  let turn = 0
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  const send = (): void => {
    const one = JSON.stringify(JSON.parse(recorded(turns[turn++ % turns.length] ?? 'busy')))
    response.write(`event: snapshot\ndata: ${one}\n\n`)
  }
  send()
  const timer = setInterval(send, EVERY_MS)
  request.on('close', () => clearInterval(timer))
}
