/** Server-sent events from a stream of text, by the rules of the HTML standard, section 9.2.6. */

export interface ServerEvent {
  name: string
  data: string
}

/** Cut chunks of text into events. A chunk may end anywhere, also between CR and LF. */
export class EventParser {
  #rest = ''
  #name = ''
  #data: string[] = []

  /** Take the next chunk; give the events that it completes. Comments and unknown fields give nothing. */
  push(chunk: string): ServerEvent[] {
    const events: ServerEvent[] = []
    // A CR at the end may be half of a CRLF: it waits for the next chunk.
    const lines = (this.#rest + chunk).split(/\r\n|\n|\r(?!$)/)
    this.#rest = lines.pop() ?? ''
    for (const line of lines) {
      const event = this.#line(line)
      if (event !== null) events.push(event)
    }
    return events
  }

  #line(line: string): ServerEvent | null {
    if (line === '') return this.#dispatch()
    const [, field, value] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? []
    if (field === 'event') this.#name = value ?? ''
    if (field === 'data') this.#data.push(value ?? '')
    return null
  }

  #dispatch(): ServerEvent | null {
    const event = this.#data.length > 0 ? { name: this.#name || 'message', data: this.#data.join('\n') } : null
    this.#name = ''
    this.#data = []
    return event
  }
}
