// Measure what a first visit downloads, gzipped: the page and all that it loads from the start. Fails over the budget.

import { readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

const built = fileURLToPath(new URL('../../src/evmesh/app/static/', import.meta.url))
const BUDGET_KIB = { 'index.html': 130 }

let over = false
for (const [page, budget] of Object.entries(BUDGET_KIB)) {
  const files = new Set()
  collect(page, files)
  const bytes = [...files].reduce((sum, file) => sum + gzipSync(readFileSync(join(built, file)), { level: 9 }).length, 0)
  const kib = bytes / 1024
  const verdict = kib > budget ? 'OVER' : 'ok'
  over ||= kib > budget
  console.log(`first load of ${page}: ${kib.toFixed(1)} KiB gzipped in ${files.size} files, budget ${budget} KiB: ${verdict}`)
}
process.exit(over ? 1 : 0)

function collect(file, files) {
  if (files.has(file)) return
  files.add(file)
  const text = readFileSync(join(built, file), 'utf8')
  for (const reference of references(file, text)) collect(reference, files)
}

function* references(file, text) {
  if (file.endsWith('.html')) {
    for (const [, url] of text.matchAll(/(?:src|href)="\/([^"#?]+)"/g)) yield url
  }
  if (file.endsWith('.js')) {
    // Static imports only: what is imported later is not part of the first load.
    for (const [, url] of text.matchAll(/(?:^|[;}\s])import(?:[^"'()]*from)?\s*["'](\.[^"']+)["']/g)) {
      yield relative(built, normalize(join(built, dirname(file), url)))
    }
  }
}
