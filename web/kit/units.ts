/**
 * Every number that a page shows is formatted here, and nowhere else.
 *
 * Values are whole: money in micro-currency (the token's smallest unit, 6 decimals), energy in Wh, power in W. They are
 * `bigint`, an integer `number`, or decimal digits as the API sends money; a fraction throws, since it means that somebody
 * calculated with money.
 * Digits that are not shown are cut, never rounded up: no page claims a cent or a Wh that is not there.
 */

export type Locale = 'en' | 'de'
export type Whole = bigint | number | string

/** English as Europe writes it: 24 hours, day before month. */
const TAG: Record<Locale, string> = { en: 'en-GB', de: 'de-DE' }

export const MONEY_DECIMALS = 6
const NARROW_SPACE = '\u202f'
const SPACE = '\u00a0'

export const whole = (value: Whole): bigint => BigInt(value)

/** Show `value` × 10^-scale with `shown` decimals, cut; with `least` given, zeros after that many decimals are dropped. */
export function decimal(value: Whole, scale: number, shown: number, locale: Locale, least = shown): string {
  const { negative, integer, fraction } = split(whole(value), scale, shown, least)
  const text = new Intl.NumberFormat(TAG[locale]).format(integer)
  const point = fraction === '' ? '' : decimalPoint(locale)
  return `${negative ? '−' : ''}${text}${point}${fraction}`
}

/** Show an amount of money: `€1,234.56`, `1.234,56 €`. */
export function money(units: Whole, locale: Locale, currency = 'EUR', shown = 2, least = shown): string {
  const { negative, integer, fraction } = split(whole(units), MONEY_DECIMALS, shown, least)
  const parts = new Intl.NumberFormat(TAG[locale], { style: 'currency', currency, minimumFractionDigits: 2 })
    .formatToParts(integer)
    .map((part) => (part.type === 'fraction' ? fraction : part.value))
  return `${negative ? '−' : ''}${parts.join('')}`
}

/** Show an amount of an operator's FLEX, which is no currency of a country: `1,234.56 FLEX`. */
export function flex(units: Whole, locale: Locale): string {
  return `${decimal(units, MONEY_DECIMALS, 2, locale)}${SPACE}FLEX`
}

/** Show a price, micro-currency per kWh, with two to four decimals: `€0.2415/kWh`. */
export function price(perKwh: Whole, locale: Locale, currency = 'EUR'): string {
  return `${money(perKwh, locale, currency, 4, 2)}/kWh`
}

/** Show energy in kWh: two decimals below 10 kWh, one above. */
export function energy(wh: Whole, locale: Locale): string {
  return `${energyNumber(wh, locale)}${SPACE}kWh`
}

/** As `energy`, without its unit: for "8.2 of 14.0 kWh". */
export function energyNumber(wh: Whole, locale: Locale): string {
  const value = whole(wh)
  return decimal(value, 3, magnitude(value) < 10_000n ? 2 : 1, locale)
}

/** Show power in kW with one decimal. */
export function power(w: Whole, locale: Locale): string {
  return `${powerNumber(w, locale)}${SPACE}kW`
}

export function powerNumber(w: Whole, locale: Locale): string {
  return decimal(w, 3, 1, locale)
}

/** Show a limit or rating in kW with all decimals that it has, up to two: `22 kW`, `7.36 kW`. */
export function rating(w: Whole, locale: Locale): string {
  return `${decimal(w, 3, 2, locale, 0)}${SPACE}kW`
}

/** Show a count with its thousands apart. */
export function count(value: Whole, locale: Locale): string {
  return decimal(value, 0, 0, locale)
}

/** How full, from 0 to 1, for the length of a bar: 0 where there is no whole, 1 where there is more than the whole. */
export function share(part: Whole, of: Whole): number {
  const [some, all] = [whole(part), whole(of)]
  if (all <= 0n || some <= 0n) return 0
  return some >= all ? 1 : Number((some * 10_000n) / all) / 10_000
}

/** Show a time of day at the site: `09:15`, with seconds on request. `at` is in ms since 1970. */
export function clock(at: number, timeZone: string, locale: Locale, seconds = false): string {
  return format(at, locale, { timeZone, hour: '2-digit', minute: '2-digit', ...(seconds ? { second: '2-digit' } : {}) })
}

/** Show a day at the site: `Mon 1 June`. */
export function day(at: number, timeZone: string, locale: Locale): string {
  return format(at, locale, { timeZone, weekday: 'short', day: 'numeric', month: 'long' }).replace(',', '')
}

/** Show the end of a day as the day that begins, every other time as its hour: labels of an axis over days. */
export function hourOrDay(at: number, timeZone: string, locale: Locale): string {
  const time = clock(at, timeZone, locale)
  return time === '00:00' ? format(at, locale, { timeZone, weekday: 'short' }) : time
}

/** Show a time at the site, with its day where that is not the day of `now`: `09:15`, `Tue 2 Jun 09:15`. */
export function moment(at: number, now: number, timeZone: string, locale: Locale): string {
  const time = clock(at, timeZone, locale)
  if (day(at, timeZone, locale) === day(now, timeZone, locale)) return time
  const date = format(at, locale, { timeZone, weekday: 'short', day: 'numeric', month: 'short' }).replace(',', '')
  return `${date} ${time}`
}

/** Show a length of time by its two largest units: `2 h 15 min`, `45 s`, `1 d 3 h`. `ms` may be negative: its size is shown. */
export function duration(ms: number, locale: Locale): string {
  const seconds = Math.floor(Math.abs(ms) / 1000)
  if (seconds < 60) return `${seconds}${NARROW_SPACE}s`
  const minutes = Math.floor(seconds / 60)
  const hours = Math.floor(minutes / 60)
  const days = Math.floor(hours / 24)
  if (hours === 0) return `${minutes}${NARROW_SPACE}min`
  if (days === 0) return pair(hours, 'h', minutes % 60, 'min')
  return pair(days, locale === 'de' ? 'T' : 'd', hours % 24, 'h')
}

/** Write a station code as it is printed on a charge point: `7K3P-M9QT`. */
export function stationCode(code: string): string {
  return /^[0-9A-Z]{8}$/i.test(code) ? `${code.slice(0, 4)}-${code.slice(4)}` : code
}

/** Shorten an address or hash, keeping both ends: `0x12ab…89ef`. */
export function shortHex(hex: string): string {
  return hex.length > 12 ? `${hex.slice(0, 6)}…${hex.slice(-4)}` : hex
}

function pair(large: number, largeUnit: string, small: number, smallUnit: string): string {
  const head = `${large}${NARROW_SPACE}${largeUnit}`
  return small === 0 ? head : `${head}${SPACE}${small}${NARROW_SPACE}${smallUnit}`
}

function format(at: number, locale: Locale, options: Intl.DateTimeFormatOptions): string {
  return formatter(locale, JSON.stringify(options)).format(at)
}

// Making a formatter costs far more than using it, and a page uses the same few each second.
const formatters = new Map<string, Intl.DateTimeFormat>()

function formatter(locale: Locale, options: string): Intl.DateTimeFormat {
  const key = `${locale}${options}`
  let found = formatters.get(key)
  if (found === undefined) {
    found = new Intl.DateTimeFormat(TAG[locale], JSON.parse(options) as Intl.DateTimeFormatOptions)
    formatters.set(key, found)
  }
  return found
}

function decimalPoint(locale: Locale): string {
  return new Intl.NumberFormat(TAG[locale]).formatToParts(1.5).find((part) => part.type === 'decimal')?.value ?? '.'
}

const magnitude = (value: bigint): bigint => (value < 0n ? -value : value)

function split(
  value: bigint,
  scale: number,
  shown: number,
  least: number,
): { negative: boolean; integer: bigint; fraction: string } {
  const cut = magnitude(value) / 10n ** BigInt(Math.max(0, scale - shown))
  const unit = 10n ** BigInt(Math.min(scale, shown))
  const integer = cut / unit
  let fraction = shown === 0 ? '' : (cut % unit).toString().padStart(Math.min(scale, shown), '0').padEnd(shown, '0')
  while (fraction.length > least && fraction.endsWith('0')) fraction = fraction.slice(0, -1)
  return { negative: value < 0n && cut !== 0n, integer, fraction }
}
