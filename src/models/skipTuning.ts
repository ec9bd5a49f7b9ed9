import { ArgumentError } from '../core/errors.ts';

/**
 * The scales of `count` skip connections: rho_i = bottom + (top - bottom) i / (count - 1), from i = 0, the deepest and farthest
 * from the input, to the one nearest to it. One skip alone gets `bottom`, where the formula would be 0 / 0.
 *
 * @throws ArgumentError
 * @source Ma et al., arXiv 2402.15170
 */
export function skipSchedule(count: number, bottom: number, top = 1): number[] {
  const op = 'skipSchedule';
  if (!Number.isSafeInteger(count) || count < 1)
    throw new ArgumentError(op, `count is ${count}; it must be an integer of at least 1`);
  for (const [name, value] of [
    ['bottom', bottom],
    ['top', top],
  ] as const) {
    if (!Number.isFinite(value))
      throw new ArgumentError(op, `${name} is ${value}; it must be a finite number`);
  }
  if (count === 1) return [bottom];
  // The ends are given, not computed: top = 1 must come out as 1.
  return Array.from({ length: count }, (_, i) =>
    i === 0 ? bottom : i === count - 1 ? top : bottom + ((top - bottom) * i) / (count - 1),
  );
}
