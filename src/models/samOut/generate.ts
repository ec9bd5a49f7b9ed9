import { ArgumentError } from '../../core/errors.ts';
import { foldIn, type Key } from '../../core/key.ts';
import { type AnyTensor, tensor } from '../../core/tensor.ts';
import type { SamOut, SamOutState } from './model.ts';

export interface SamplingOptions {
  /** 0: always the most probable token. @defaultValue 1 */
  readonly temperature?: number;
  /** Choose among the k most probable. Absent: among all */
  readonly topK?: number;
  /** Choose among the fewest whose probabilities reach this sum. Absent: among all */
  readonly topP?: number;
}

/** Restricts which ids may be drawn, until it lets go. */
export interface Constraint<T> {
  /** The logits with every other id excluded; undefined: all may be drawn. The result is the caller's. */
  mask(logits: T): T | undefined;
  /** An id was drawn. */
  accept(id: number): void;
}

/**
 * Continue a sequence, one id at a time. The state has one row per layer, so a step costs the same after 10 ids and after
 * 100,000. Step i draws with foldIn(key, i): the same key gives the same ids.
 */
export async function* generate<T extends AnyTensor>(
  model: SamOut<T>,
  prompt: Int32Array,
  count: number,
  key: Key,
  { temperature = 1, topK, topP }: SamplingOptions = {},
  constraint?: Constraint<T>,
): AsyncGenerator<number> {
  if (prompt.length === 0)
    throw new ArgumentError('generate', 'the prompt has no ids; begin with the one that begins a text');
  const { backend, config } = model;
  const options = {
    temperature,
    ...(topK === undefined ? {} : { topK }),
    ...(topP === undefined ? {} : { topP }),
  };
  let state: SamOutState<T> | undefined;
  let input = tensor([1, prompt.length], prompt);
  try {
    for (let i = 0; i < count; i++) {
      const made = model.last(input, state);
      state?.[Symbol.dispose]();
      state = made.state;
      using logits = made.logits;
      using masked = constraint?.mask(logits);
      using drawn = backend.ops.sampleLogits(masked ?? logits, { ...options, key: foldIn(key, i) });
      const id = (await backend.read(drawn.ids)).data[0]!;
      if (id < 0 || id >= config.vocabulary) {
        throw new ArgumentError(
          'generate',
          `the logits of step ${i + 1} are not finite; the model is damaged or has diverged`,
        );
      }
      constraint?.accept(id);
      yield id;
      input = tensor([1, 1], Int32Array.of(id));
    }
  } finally {
    state?.[Symbol.dispose]();
  }
}
