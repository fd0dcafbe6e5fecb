// Writes the Grafana dashboards of deploy/telemetry/dashboards:
//
//	node dashboards.mjs ../../deploy/telemetry/dashboards          writes them
//	node dashboards.mjs --check ../../deploy/telemetry/dashboards  exits with 1 where one is stale
//
// A dashboard is a list of rows, a row a list of panels, a panel what it is called, what it
// is good for and what it asks. The proof `alerts` checks every series in them.
import { readFileSync, writeFileSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { boards } from './boards.mjs';
import { build } from './panels.mjs';

const check = process.argv[2] === '--check';
const directory = process.argv[check ? 3 : 2];
if (!directory) {
  console.error('usage: node dashboards.mjs [--check] DIRECTORY');
  process.exit(2);
}
mkdirSync(directory, { recursive: true });
const stale = [];
for (const board of boards) {
  const path = join(directory, `${board.uid}.json`);
  const text = JSON.stringify(build(board), null, 2) + '\n';
  if (!check) {
    writeFileSync(path, text);
    continue;
  }
  let held = '';
  try {
    held = readFileSync(path, 'utf8');
  } catch {
    // A file that is not there is as stale as one can be.
  }
  if (held !== text) stale.push(path);
}
const known = boards.map((board) => `${board.uid}.json`);
for (const file of readdirSync(directory)) {
  if (!known.includes(file)) stale.push(join(directory, file));
}
if (stale.length > 0) {
  console.error(`stale, or of no dashboard: ${stale.join(', ')}\nwrite them again: make generate`);
  process.exit(1);
}
