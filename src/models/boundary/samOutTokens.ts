import type { AnyTensor } from '../../core/tensor.ts';
import { tensor } from '../../core/tensor.ts';
import type { SamOut, SamOutState } from '../samOut/model.ts';
import type { Place, TokenModel } from './oracle.ts';

/** A SamOut model as the oracle asks it: the state of a sequence is a snapshot that any number of steps may start from. */
export function samOutTokens<T extends AnyTensor>(model: SamOut<T>): TokenModel<SamOutState<T>> {
  const place = async (ids: Int32Array, before?: SamOutState<T>): Promise<Place<SamOutState<T>>> => {
    const made = model.last(tensor([1, ids.length], ids), before);
    using logits = made.logits;
    const { data } = await model.backend.read(logits);
    return { state: made.state, logProbs: logSoftmax(data) };
  };
  return {
    begin: (ids) => place(ids),
    next: (state, id) => place(Int32Array.of(id), state),
    release: (state) => state[Symbol.dispose](),
  };
}

function logSoftmax(logits: ArrayLike<number>): Float64Array {
  let top = -Infinity;
  for (let i = 0; i < logits.length; i++) top = Math.max(top, logits[i]!);
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i]! - top);
  const lse = top + Math.log(sum);
  return Float64Array.from(logits, (v) => v - lse);
}
