import { describe, expect, test } from 'vitest';
import type { Participant } from '../bench/support/participant.ts';
import { timeInRounds } from '../bench/support/rounds.ts';
import { quantile, quantum, ratioOf, summarize } from '../bench/support/stats.ts';
import { distinct, uniform } from '../bench/support/work.ts';
import { pass } from '../src/core/bounds.ts';

// Plan: the statistics of the bench are right on samples whose statistics are known; the rounds interleave, give slow
// participants fewer samples and drop what was taken while the machine was slow. No time is compared with a time here.

describe('statistics', () => {
  test('quantiles interpolate', () => {
    expect(quantile([1, 2, 3, 4], 0.5)).toBe(2.5);
    expect(quantile([5], 0.75)).toBe(5);
    expect(quantile([0, 10], 0.25)).toBe(2.5);
  });

  test('one outlier moves neither the median nor its interval far', () => {
    const s = summarize([10, 11, 9, 10, 12, 8, 1000, 10, 11, 9, 10]);
    expect(s).toMatchObject({ n: 11, min: 8, median: 10, max: 1000, mad: 1 });
    expect(s.ci[0]).toBeGreaterThanOrEqual(9);
    expect(s.ci[1]).toBeLessThanOrEqual(12);
  });

  test('the ratio and its interval; the same samples give the same interval', () => {
    const slow = [20, 21, 19, 20, 22, 20, 20];
    const fast = [10, 10, 11, 9, 10, 10, 10];
    const r = ratioOf(slow, fast);
    expect(r.ratio).toBe(2);
    expect(r.ci[0]).toBeGreaterThan(1.5);
    expect(r.ci[1]).toBeLessThan(2.5);
    expect(ratioOf(slow, fast)).toEqual(r);
    expect(ratioOf(fast, fast).ci[0]).toBeLessThanOrEqual(1);
  });

  test('the step of a clock', () => {
    expect(quantum([131072, 65536, 0, 196608])).toBe(65536);
    expect(quantum([3, 5])).toBe(1);
    expect(quantum([])).toBe(0);
  });
});

describe('rounds', () => {
  const log: string[] = [];
  const fake = (name: string, wall: number): Participant => ({
    name,
    version: '',
    role: 'peer',
    kind: 'cpu',
    async run() {
      log.push(name);
      const until = performance.now() + wall;
      while (performance.now() < until);
    },
    async gpuMs() {
      return 42;
    },
    verdict: async () => pass(),
    dispose() {},
  });
  const limits = { minSamples: 7, maxSamples: 9, seconds: 0.4 };

  test('everybody takes turns, and samples by another clock are kept as they are', async () => {
    log.length = 0;
    const a = fake('a', 1);
    const b = fake('b', 1);
    const samples = await timeInRounds([a, b], limits, async () => 1);
    expect(samples.get(a)!.wall.length).toBeGreaterThanOrEqual(7);
    expect(samples.get(a)!.gpu.every((v) => v === 42)).toBe(true);
    expect(samples.get(a)!.cpu.length).toBe(samples.get(a)!.wall.length);
    expect(samples.get(a)!.cpu.every((v) => v >= 0)).toBe(true);
    // Never more than two of one in a row: the last of one round and the first of the next.
    expect(log.join('')).not.toMatch(/aaa|bbb/);
    expect(log.join('')).toMatch(/ab.*ba|ba.*ab/);
  });

  test('who is slow has fewer samples, but at least one, and does not keep the others from theirs', async () => {
    const slow = fake('slow', 150);
    const quick = fake('quick', 1);
    const samples = await timeInRounds([slow, quick], limits, async () => 1);
    expect(samples.get(slow)!.wall.length).toBeGreaterThanOrEqual(1);
    expect(samples.get(slow)!.wall.length).toBeLessThan(4);
    expect(samples.get(quick)!.wall.length).toBeGreaterThanOrEqual(7);
  });

  test('samples beside a slow canary are dropped and counted', async () => {
    let n = 0;
    const p = fake('p', 1);
    const samples = await timeInRounds([p], { ...limits, minSamples: 9, maxSamples: 12 }, async () =>
      n++ < 2 ? 10 : 1,
    );
    const { wall, disturbed } = samples.get(p)!;
    expect(disturbed).toBe(2);
    expect(wall.length).toBe(10);
  });
});

describe('data', () => {
  test('uniform numbers are in [-1, 1), and differ by seed', () => {
    const x = uniform(10000, 1);
    expect(Math.min(...x)).toBeGreaterThanOrEqual(-1);
    expect(Math.max(...x)).toBeLessThan(1);
    expect(Math.abs(x.reduce((a, b) => a + b, 0)) / 10000).toBeLessThan(0.05);
    expect(x).not.toEqual(uniform(10000, 2));
    expect(x).toEqual(uniform(10000, 1));
  });

  test('distinct numbers do not repeat', () => {
    const x = distinct(100000, 3);
    expect(new Set(x).size).toBe(100000);
    expect(Math.abs(x.reduce((a, b) => a + b, 0)) / 100000).toBeLessThan(0.05);
  });
});
