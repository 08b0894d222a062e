/**
 * SHA-256 (FIPS 180-4), written out: `crypto.subtle` answers later, and on a page from a plain http address not at all.
 */

/** Give the digest as 64 lower-case hexadecimal digits. */
export function sha256Hex(data: Uint8Array): string {
  const state = Uint32Array.from(START)
  const whole = data.length - (data.length % 64)
  const schedule = new Uint32Array(64)
  for (let at = 0; at < whole; at += 64) compress(state, data, at, schedule)

  const rest = data.length - whole
  const tail = new Uint8Array(rest < 56 ? 64 : 128)
  tail.set(data.subarray(whole))
  tail[rest] = 0x80
  const view = new DataView(tail.buffer)
  view.setUint32(tail.length - 8, Math.floor(data.length / 2 ** 29))
  view.setUint32(tail.length - 4, (data.length % 2 ** 29) * 8)
  for (let at = 0; at < tail.length; at += 64) compress(state, tail, at, schedule)

  return Array.from(state, (word) => word.toString(16).padStart(8, '0')).join('')
}

// Indices below stay inside arrays of fixed length: `!` tells the compiler so.

function compress(state: Uint32Array, data: Uint8Array, at: number, w: Uint32Array): void {
  for (let t = 0; t < 16; t++) {
    const from = at + 4 * t
    w[t] = (data[from]! << 24) | (data[from + 1]! << 16) | (data[from + 2]! << 8) | data[from + 3]!
  }
  for (let t = 16; t < 64; t++) {
    const [x, y] = [w[t - 15]!, w[t - 2]!]
    const s0 = turn(x, 7) ^ turn(x, 18) ^ (x >>> 3)
    const s1 = turn(y, 17) ^ turn(y, 19) ^ (y >>> 10)
    w[t] = w[t - 16]! + s0 + w[t - 7]! + s1
  }
  let [a, b, c, d, e, f, g, h] = state as unknown as [number, number, number, number, number, number, number, number]
  for (let t = 0; t < 64; t++) {
    const t1 = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + ROUND[t]! + w[t]!) | 0
    const t2 = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0
    h = g
    g = f
    f = e
    e = (d + t1) | 0
    d = c
    c = b
    b = a
    a = (t1 + t2) | 0
  }
  for (const [i, word] of [a, b, c, d, e, f, g, h].entries()) state[i] = state[i]! + word
}

function turn(word: number, by: number): number {
  return (word >>> by) | (word << (32 - by))
}

/** The first 32 bits of the fractional parts of the square (cube) roots of the first primes, in exact integers. */
function rootBits(count: number, power: 2n | 3n): number[] {
  const found: number[] = []
  for (let candidate = 2n; found.length < count; candidate++) {
    if (!isPrime(candidate)) continue
    found.push(Number(BigInt.asUintN(32, floorRoot(candidate << (32n * power), power))))
  }
  return found
}

function isPrime(candidate: bigint): boolean {
  for (let divisor = 2n; divisor * divisor <= candidate; divisor++) if (candidate % divisor === 0n) return false
  return true
}

function floorRoot(value: bigint, power: bigint): bigint {
  let [low, high] = [0n, 1n << 40n]
  while (high - low > 1n) {
    const middle = (low + high) / 2n
    if (middle ** power <= value) low = middle
    else high = middle
  }
  return low
}

const START = rootBits(8, 2n)
const ROUND = rootBits(64, 3n)
