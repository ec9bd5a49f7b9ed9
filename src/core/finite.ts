import { ArgumentError } from './errors.ts';
import type { Tensor } from './tensor.ts';

/** Refuse a host tensor that holds NaN or an infinity. @throws ArgumentError with the place */
export function requireFinite(op: string, name: string, t: Tensor): void {
  const { data } = t;
  let at = 0;
  // v - v is 0 for every finite number, and NaN for all others.
  while (at < data.length && data[at]! - data[at]! === 0) at++;
  if (at < data.length) {
    const columns = t.shape.at(-1) ?? 1;
    throw new ArgumentError(
      op,
      `${name} holds ${t.data[at]} in row ${Math.floor(at / columns)}, column ${at % columns}; every number must be finite`,
    );
  }
}
