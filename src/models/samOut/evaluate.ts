import { type AnyTensor, tensor } from '../../core/tensor.ts';
import { type SamOut, type SamOutState, samOutLoss } from './model.ts';

/**
 * Nats that a model needs for a sequence of ids: each is predicted from all before it, the first from nothing but its
 * predecessor `ids[0]`. Fed in chunks with the state carried on, so the length is not limited.
 * @param progress called with the number of ids that are done
 */
export async function sequenceNats<T extends AnyTensor>(
  model: SamOut<T>,
  ids: Int32Array,
  {
    chunk = 512,
    progress = () => {},
    residualScales,
  }: {
    chunk?: number;
    progress?: (done: number) => void;
    residualScales?: readonly number[] | undefined;
  } = {},
): Promise<number> {
  const { backend, config, parameters } = model;
  let nats = 0;
  let state: SamOutState<T> | undefined;
  try {
    for (let at = 0; at + 1 < ids.length; at += chunk) {
      const length = Math.min(chunk, ids.length - 1 - at);
      const given = tensor([1, length], ids.slice(at, at + length));
      model.checkIds(given);
      using inputs = backend.upload(given);
      using targets = backend.upload(tensor([1, length], ids.slice(at + 1, at + 1 + length)));
      const made = samOutLoss(backend.ops, config, parameters, inputs, targets, {
        ...(state === undefined ? {} : { state }),
        ...(residualScales === undefined ? {} : { residualScales }),
      });
      state?.[Symbol.dispose]();
      state = made.state;
      using loss = made.loss;
      using _count = made.count;
      nats += (await backend.read(loss)).data[0]! * length;
      progress(at + length);
    }
  } finally {
    state?.[Symbol.dispose]();
  }
  return nats;
}
