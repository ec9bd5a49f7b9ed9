import { type Span, spanOf } from './selectLayout.ts';

/** Elements first .. first + count of some rows of a [rows, length] tensor, as far as one binding reaches. */
export interface RowWindow {
  readonly row: number;
  readonly rows: number;
  readonly first: number;
  readonly count: number;
  /** Where element `first` of the first row lies in the binding. */
  readonly origin: number;
  readonly span: Span;
}

/**
 * Cut [rows, length] into windows: as many whole rows as fit, or pieces of a row whose length is a multiple of `step`.
 * @param maxWords elements that one binding holds
 */
export function rowWindows(rows: number, length: number, step: number, maxWords: number): RowWindow[] {
  // A window may start anywhere, a binding only at a multiple of 64 elements.
  const usable = maxWords - 64;
  const out: RowWindow[] = [];
  const add = (row: number, n: number, first: number, count: number): void => {
    const span = spanOf(row * length + first, (n - 1) * length + count);
    out.push({ row, rows: n, first, count, origin: span.origin, span });
  };
  if (length <= usable) {
    const most = Math.max(Math.floor(usable / Math.max(length, 1)), 1);
    for (let row = 0; row < rows; row += most) add(row, Math.min(most, rows - row), 0, length);
    return out;
  }
  const most = Math.floor(usable / step) * step;
  for (let row = 0; row < rows; row++) {
    for (let first = 0; first < length; first += most) add(row, 1, first, Math.min(most, length - first));
  }
  return out;
}
