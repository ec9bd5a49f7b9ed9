import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { arithmetic, claimed, consequences } from '../scripts/claims/arithmetic.ts';

// Plan: what the page says of the claims follows from the code as it is now, and the numbers are those worked out by hand.

describe('the claims of seed 001', () => {
  test('the numbers, by hand', () => {
    const d = 512;
    expect(arithmetic()).toMatchObject({
      tensors: 2 * 8460 * d + 8 * (6 * d * d + 5 * d),
      scalars: 48,
      tied: 8460 * d + 8 * (6 * d * d + 5 * d),
      block: 1_575_424,
      standardBlock: 3_152_384,
      smallBlock: 1_577_984,
      merged: 786_432,
      separate: 786_432,
    });
    const { fewer, fewerTied, fewerThanSmall, floor } = arithmetic();
    expect([fewer, fewerTied, fewerThanSmall].map((v) => v.toFixed(2))).toEqual(['37.23', '42.69', '0.16']);
    expect(floor).toBeCloseTo(9.043, 3);
    // Half of the published losses would do to show it: all are below the floor.
    expect(claimed.losses.every((loss) => loss < floor)).toBe(true);
  });

  test.each(Object.entries(consequences()))('docs/claims.md says what follows: %s', (_, text) => {
    const page = readFileSync(new URL('../docs/claims.md', import.meta.url), 'utf8');
    expect(page).toContain(text);
  });
});
