// An MQTT 3.1.1 broker for one machine: what `evmesh up` starts where no Mosquitto is installed.
//
//   node embedded/broker.mjs --directory DIR [--port 1883]        (port 0: a free one)
//
// Prints {"port":n} on one line when it listens, on 127.0.0.1 only. Retained messages, and the QoS 1 messages that
// persistent sessions still have to get, are kept in DIR. LevelDB hands each write to the operating system and does not
// wait for the disk: what was acknowledged survives a kill -9 of this process, but not a power cut.

import { mkdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { parseArgs } from 'node:util'
import { Aedes } from 'aedes'
import persistence from 'aedes-persistence-level'
import { Level } from 'level'

const { values: options } = parseArgs({
  options: { directory: { type: 'string' }, port: { type: 'string', default: '1883' } }
})
const port = Number(options.port)
if (!options.directory || !Number.isInteger(port) || port < 0 || port > 65535) {
  console.error('usage: node broker.mjs --directory DIR [--port 0..65535]')
  process.exit(2)
}

mkdirSync(options.directory, { recursive: true })
const database = new Level(options.directory, { valueEncoding: 'binary' })
try {
  await database.open()
} catch (error) {
  console.error(`cannot open ${options.directory}: ${error.cause?.message ?? error.message}`)
  process.exit(1)
}

const broker = await Aedes.createBroker({
  // Queued messages are kept under this id and a counter that starts anew with every run. So it has to be new each
  // time, or a run would overwrite what the one before left behind; and to sort by time, or they would change order.
  id: `run-${Date.now().toString().padStart(15, '0')}`,
  persistence: persistence(database),
  // A killed broker finds its clients' wills again, and publishes those of clients that stay away for four of these.
  heartbeatInterval: 5_000,
  // A subscriber that commits before it reads on is slow at times, and no reason to cut it off.
  drainTimeout: 0,
  // What a client may send before its session is restored.
  queueLimit: 10_000
})
broker.on('error', fail)
broker.on('clientError', (client, error) => console.error(`client ${client.id}: ${error.message}`))
broker.on('connectionError', (client, error) => console.error(`connection: ${error.message}`))

const server = createServer({ noDelay: true }, broker.handle)
server.on('error', fail)
server.listen(port, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })))

let stopping = false
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, stop)

function stop () {
  if (stopping) return
  stopping = true
  server.close()
  broker.close(async () => {
    await database.close()
    process.exit(0)
  })
}

function fail (error) {
  console.error(error.message)
  process.exit(1)
}
