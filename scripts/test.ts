// `npm test`: format and lint, types, the build, then the specs on every driver of this machine. In continuous
// integration (CI is set) two software drivers must be there: the embedded SwiftShader and Mesa's llvmpipe.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chooseAdapter } from '../src/gpu/index.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const bin = (path: string): string => join(root, 'node_modules', path);
const ci = Boolean(process.env.CI);
const totals = { passed: 0, failed: 0 };
const started = performance.now();

step('format and lint', [bin('@biomejs/biome/bin/biome'), 'check', '--error-on-warnings', '.']);
step('types', [bin('typescript/bin/tsc'), '--noEmit']);
step('index of the chapters', [join(root, 'scripts/docs.ts'), '--check']);
step('build', [join(root, 'scripts/build.ts')]);

const drivers = await findDrivers();
for (const [i, driver] of drivers.entries()) {
  specs(driver, filterOf(i, drivers.length));
}
const seconds = ((performance.now() - started) / 1000).toFixed(0);
console.log(`\n${drivers.length} drivers (${drivers.join(', ')}), ${seconds} s`);
console.log(`${totals.passed} passed, ${totals.failed} failed`);
process.exit(totals.failed === 0 ? 0 : 1);

/**
 * What to leave out on driver `i`, as a pattern for vitest. Specs of the references, formats, commands and models run once, on
 * the second driver, which is faster than SwiftShader. A wrong kernel needs to be rejected once, too, and each has to be compiled:
 * there llvmpipe is several times as fast (the 26 variants of topK without barriers: 26 s, on SwiftShader 192 s).
 */
function filterOf(i: number, count: number): string[] {
  if (count === 1 || i === 1) return [];
  return ['-t', '^(?!.* wrong .*rejected).*, family '];
}

/** Run a Node program; the first one that fails ends the run. */
function step(title: string, args: readonly string[]): void {
  console.log(`\n== ${title}`);
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) {
    console.log(`\n"${title}" failed\n${totals.passed} passed, ${totals.failed + 1} failed`);
    process.exit(1);
  }
  totals.passed++;
}

function specs(driver: string, args: readonly string[]): void {
  console.log(`\n== specs on ${driver}`);
  const folder = mkdtempSync(join(tmpdir(), 'subvocab-specs-'));
  const report = join(folder, 'report.json');
  const vitest = [
    bin('vitest/vitest.mjs'),
    'run',
    '--reporter=dot',
    '--reporter=json',
    `--outputFile.json=${report}`,
  ];
  const env = { ...process.env, SUBVOCAB_ADAPTER: driver };
  const { status } = spawnSync(process.execPath, [...vitest, ...args], { cwd: root, stdio: 'inherit', env });
  try {
    const { numPassedTests, numFailedTests, testResults } = JSON.parse(readFileSync(report, 'utf8'));
    printSlowest(testResults);
    totals.passed += numPassedTests;
    // A file that cannot even be loaded counts no failed test; the exit status knows.
    totals.failed += numFailedTests || (status === 0 ? 0 : 1);
  } catch {
    totals.failed++;
  }
  rmSync(folder, { recursive: true, force: true });
}

/** The files that took longest: where the time of the whole run can be won. */
function printSlowest(files: readonly { name: string; startTime: number; endTime: number }[]): void {
  const timed = files.map((f) => ({ name: basename(f.name), s: (f.endTime - f.startTime) / 1000 }));
  timed.sort((a, b) => b.s - a.s);
  const list = timed.slice(0, 12).map(({ name, s }) => `${name} ${s.toFixed(0)} s`);
  console.log(`\nslowest: ${list.join(', ')}`);
}

/** Names for SUBVOCAB_ADAPTER: the embedded driver first, then every other adapter of the machine. */
async function findDrivers(): Promise<string[]> {
  const found: string[] = [];
  for (const [name, remedy] of [
    ['SwiftShader', 'npm install brings it with @sparticuz/chromium'],
    ['llvmpipe', 'Debian 12: apt-get install -t bookworm-backports mesa-vulkan-drivers'],
  ] as const) {
    try {
      await chooseAdapter(name);
      found.push(name);
    } catch (error) {
      if (ci) {
        console.log(`the driver ${name} is missing (${(error as Error).message}); ${remedy}`);
        console.log(`${totals.passed} passed, ${totals.failed + 1} failed`);
        process.exit(1);
      }
      console.log(`\n== SKIPPED: specs on ${name}, which this machine does not have; ${remedy}`);
    }
  }
  const { adapters } = await chooseAdapter('');
  for (const a of adapters) if (!a.software && !found.includes(a.name)) found.push(a.name);
  return found;
}
