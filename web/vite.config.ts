/**
 * One build, several static pages: each HTML file in `pages` is one, and its path is its address.
 * The page at `/` is the cockpit. Pages to come (driver, grid, verify) get a line of their own here.
 *
 * `npm run dev --workspace web` shows the recorded snapshots of web/dev; with EVMESH_URL=http://127.0.0.1:8080 it shows
 * a running `evmesh up` instead.
 */

import { fileURLToPath } from 'node:url'

import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vitest/config'

import { recordedApi } from './dev/recorded.ts'

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

const pages = {
  cockpit: here('./index.html'),
}

const platform = process.env['EVMESH_URL']

export default defineConfig({
  root: here('.'),
  plugins: [svelte(), ...(platform ? [] : [recordedApi()])],
  build: {
    outDir: here('../src/evmesh/app/static'),
    emptyOutDir: true,
    // What is bundled is under MIT, which wants its notices to travel along.
    license: { fileName: 'licenses.md' },
    // Files as they are, never as data: URLs: the pages run under a content security policy of 'self'.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: { input: pages },
  },
  server: platform ? { proxy: { '/v1': platform } } : {},
  test: { include: ['tests/**/*.test.ts'] },
})
