// An MQTT 3.1.1 broker for one machine: what `evmesh up` starts where no Mosquitto is installed.
//
//   node embedded/broker.mjs --directory DIR [--port 1883]        (port 0: a free one)
//
// Prints {"port":n} on one line when it listens, on 127.0.0.1 only. Retained messages, and the QoS 1 messages that
// persistent sessions still have to get, are kept in DIR. A publisher's QoS 1 message is acknowledged once it is there.
// LevelDB hands each write to the operating system and does not wait for the disk: what was acknowledged survives a
// kill -9 of this process, but not a power cut.

import { mkdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { Readable } from 'node:stream'
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

let stopping = false
process.on('unhandledRejection', fail)
process.on('uncaughtException', fail)

mkdirSync(options.directory, { recursive: true })
const database = new Level(options.directory, { valueEncoding: 'binary' })
try {
  await database.open()
} catch (error) {
  console.error(`cannot open ${options.directory}: ${error.cause?.message ?? error.message}`)
  process.exit(1)
}

const store = persistence(database)
const queued = store.outgoingStream.bind(store)
store.outgoingStream = (client) => Readable.from(numberedAnew(client))

// A queued message keeps the packet id of the connection that it was first sent on, and the next connection counts from
// a random number: two messages could share an id, and the acknowledgement of one would remove the other.
async function * numberedAnew (client) {
  const ids = `outgoing-id:${encodeURIComponent(client.id)}`
  await database.clear({ gte: `${ids}:`, lt: `${ids};` })
  for await (const packet of queued(client)) {
    if (packet.cmd === 'publish' && packet.qos === 1) packet.messageId = undefined
    yield packet
  }
}

const stored = new WeakSet()

const broker = await Aedes.createBroker({
  // Queued messages are kept under this id and a counter that starts anew with every run. So it has to be new each
  // time, or a run would overwrite what the one before left behind; and to sort by time, or they would change order.
  id: `run-${Date.now().toString().padStart(15, '0')}`,
  persistence: store,
  // Of all that aedes calls, this alone comes before it acknowledges a message.
  authorizePublish: storeFirst,
  // A killed broker finds its clients' wills again, and publishes those of clients that stay away for four of these.
  heartbeatInterval: 5_000,
  // A subscriber that stops reading holds up the publishers; after this many milliseconds it is cut off.
  drainTimeout: 5_000,
  // What a client may send before its session is restored.
  queueLimit: 10_000
})
broker.on('error', fail)
broker.on('clientError', (client, error) => console.error(`client ${client.id}: ${error.message}`))
broker.on('connectionError', (client, error) => console.error(`connection: ${error.message}`))

// Aedes numbers a message when it comes in, stores it, and then gives it out, several messages at a time. With a store
// that takes its time they overtake each other: an older value can be retained over a newer one, and a subscriber that
// was given number 8 is never given number 7. So one message at a time, until it is written to its subscribers.
const publish = broker.publish.bind(broker)
let turn = Promise.resolve()

broker.publish = (packet, client, done) => {
  if (typeof client === 'function') [client, done] = [null, client]
  if (stored.delete(packet)) return done?.()
  turn = turn.then(() => new Promise((resolve) => {
    publish(packet, client, (error) => {
      resolve()
      done?.(error)
    })
  }))
}

function storeFirst (client, packet, done) {
  if (packet.topic.startsWith('$SYS/')) return done(new Error('$SYS/ topic is reserved'))
  if (packet.qos !== 1) return done(null)
  broker.publish(packet, client, (error) => {
    // Aedes will publish it now, which `broker.publish` then knows to be done.
    if (!error) stored.add(packet)
    done(error)
  })
}

const server = createServer({ noDelay: true }, broker.handle)
server.on('error', fail)
server.listen(port, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })))

for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, stop)

function stop () {
  if (stopping) return
  stopping = true
  server.close()
  broker.close(async () => {
    // Waits for the writes that are under way. Those that come too late are of messages nobody was promised.
    await database.close()
    process.exit(0)
  })
}

function fail (error) {
  if (stopping) return
  console.error(error?.stack ?? error)
  process.exit(1)
}
