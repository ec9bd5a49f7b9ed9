/** log(exp(a) + exp(b)) without overflow; -Infinity stands for 0. */
export function logAdd(a: number, b: number): number {
  const top = Math.max(a, b);
  return top === -Infinity ? top : top + Math.log1p(Math.exp(-Math.abs(a - b)));
}
