import { describe, expect, it } from 'vitest'

import {
  clock,
  decimal,
  duration,
  energy,
  hourOrDay,
  moment,
  money,
  power,
  price,
  share,
  shortHex,
  stationCode,
} from '../kit/units'

const NOON = Date.parse('2026-06-01T10:00:00Z')

/** Spaces that do not break look like spaces. */
const plain = (text: string): string => text.replaceAll(/[\u00a0\u202f]/g, ' ')

describe('money', () => {
  it('is written as each language writes it', () => {
    expect(plain(money(1_234_567_890n, 'en'))).toBe('€1,234.56')
    expect(plain(money(1_234_567_890n, 'de'))).toBe('1.234,56 €')
  })

  it('is cut, never rounded up', () => {
    expect(money(9_999n, 'en')).toBe('€0.00')
    expect(money(1_999_999n, 'en')).toBe('€1.99')
    expect(money(-1_999_999n, 'en')).toBe('−€1.99')
    expect(money(-9_999n, 'en')).toBe('€0.00')
  })

  it('keeps every digit of an amount that a double cannot hold', () => {
    expect(money('9007199254740993000001', 'en')).toBe('€9,007,199,254,740,993.00')
    expect(money(2n ** 255n, 'en', 'EUR', 6)).toMatch(/819\.968$|819968$/)
  })

  it('refuses a fraction: somebody calculated with money', () => {
    expect(() => money(0.5, 'en')).toThrow(RangeError)
    expect(() => money('0.5', 'en')).toThrow(SyntaxError)
  })
})

describe('price', () => {
  it('has two to four decimals, and may be negative', () => {
    expect(price(289_000, 'en')).toBe('€0.289/kWh')
    expect(price(300_000, 'en')).toBe('€0.30/kWh')
    expect(price(84_150, 'en')).toBe('€0.0841/kWh')
    expect(price(-12_000, 'en')).toBe('−€0.012/kWh')
    expect(plain(price(289_000, 'de'))).toBe('0,289 €/kWh')
  })
})

describe('energy and power', () => {
  it('shows kWh with two decimals below ten and one above', () => {
    expect(plain(energy(8_240, 'en'))).toBe('8.24 kWh')
    expect(plain(energy(9_999, 'en'))).toBe('9.99 kWh')
    expect(plain(energy(17_599, 'de'))).toBe('17,5 kWh')
    expect(plain(energy(0, 'en'))).toBe('0.00 kWh')
  })

  it('shows kW with one decimal, cut, with its sign', () => {
    expect(plain(power(7_399, 'en'))).toBe('7.3 kW')
    expect(plain(power(-2_050, 'de'))).toBe('−2,0 kW')
  })

  it('writes decimals of any scale', () => {
    expect(decimal(1_000_000, 0, 0, 'en')).toBe('1,000,000')
    expect(decimal(5, 3, 3, 'en')).toBe('0.005')
    expect(decimal(7, 0, 2, 'en')).toBe('7.00')
  })
})

describe('share', () => {
  it('stays between nothing and all', () => {
    expect(share(1, 4)).toBe(0.25)
    expect(share(5, 4)).toBe(1)
    expect(share(-1, 4)).toBe(0)
    expect(share(1, 0)).toBe(0)
    expect(share(10n ** 40n, 4n * 10n ** 40n)).toBe(0.25)
  })
})

describe('time', () => {
  it('is shown in the zone of the site', () => {
    expect(clock(NOON, 'Europe/Amsterdam', 'en')).toBe('12:00')
    expect(clock(NOON, 'America/Los_Angeles', 'de')).toBe('03:00')
    expect(clock(NOON, 'UTC', 'en', true)).toBe('10:00:00')
  })

  it('carries its day where that is another one at the site', () => {
    const late = Date.parse('2026-06-01T22:30:00Z')
    expect(moment(late, NOON, 'UTC', 'en')).toBe('22:30')
    expect(moment(late, NOON, 'Europe/Amsterdam', 'en')).toBe('Tue 2 Jun 00:30')
  })

  it('names the day where one begins', () => {
    expect(hourOrDay(Date.parse('2026-06-01T22:00:00Z'), 'Europe/Amsterdam', 'en')).toBe('Tue')
    expect(hourOrDay(NOON, 'Europe/Amsterdam', 'de')).toBe('12:00')
  })

  it('gives a length by its two largest units', () => {
    expect(plain(duration(45_900, 'en'))).toBe('45 s')
    expect(plain(duration(59 * 60_000, 'en'))).toBe('59 min')
    expect(plain(duration(135 * 60_000, 'en'))).toBe('2 h 15 min')
    expect(plain(duration(27 * 3_600_000, 'de'))).toBe('1 T 3 h')
    expect(plain(duration(-7_200_000, 'en'))).toBe('2 h')
  })
})

describe('names', () => {
  it('spaces a station code as it is printed, and leaves what is none alone', () => {
    expect(stationCode('7K3PM9QT')).toBe('7K3P-M9QT')
    expect(stationCode('garage')).toBe('garage')
  })

  it('shortens hex at its middle', () => {
    expect(shortHex('0x12ab34cd56ef78900000000000000000000089ef')).toBe('0x12ab…89ef')
    expect(shortHex('0x12')).toBe('0x12')
  })
})
