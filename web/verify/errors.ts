/** A file that cannot be read as what it should be: a stable code, what is wrong, and the path of the field. */
export class InvalidInput extends Error {
  constructor(
    readonly code: string,
    readonly what: string,
    readonly path = '',
  ) {
    super(path ? `${code}: ${what} (at ${path})` : `${code}: ${what}`)
    this.name = 'InvalidInput'
  }
}
