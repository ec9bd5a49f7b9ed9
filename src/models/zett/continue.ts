import type { Backend } from '../../core/backend.ts';
import { ArgumentError } from '../../core/errors.ts';
import { foldIn, key } from '../../core/key.ts';
import type { AnyTensor } from '../../core/tensor.ts';
import { SamOut } from '../samOut/model.ts';
import { randomRows } from '../samOut/rows.ts';
import { SamOutTrainer } from '../samOut/trainer.ts';
import type { ZettBody } from './body.ts';

/** How a model goes on learning after its transfer. */
export interface ContinueOptions {
  /** Numbers of steps after which it is looked at, ascending; 0 is before the first. */
  readonly shots: readonly number[];
  /** Whether the layers learn, too, not only the tables. @defaultValue false */
  readonly layers?: boolean;
  /** @defaultValue 0.001 */
  readonly lr?: number;
  /** Rows of text per step. @defaultValue 16 */
  readonly batch?: number;
  /** Predicted positions per row. @defaultValue 64 */
  readonly length?: number;
  /** Of the batches. @defaultValue 0 */
  readonly seed?: number;
}

/**
 * n-shot transfer: a transferred model is trained on text in its new ids, its tables alone or with its layers, and looked at on the
 * way. AdamW without decay, the norm of all gradients clipped at 1. With the same seed, every start sees the same batches.
 * @param ids of the text, in the model's own ids
 * @param look called with the model after each number of steps in `shots`; the model is only lent
 * @returns the model after the last step
 * @throws ArgumentError when shots do not ascend, or the text is shorter than a row
 */
export async function continueTraining<T extends AnyTensor>(
  backend: Backend<T>,
  { config, parameters }: ZettBody,
  ids: Int32Array,
  { shots, layers = false, lr = 0.001, batch = 16, length = 64, seed = 0 }: ContinueOptions,
  look: (model: SamOut<T>, step: number) => Promise<void> = async () => {},
): Promise<ZettBody> {
  for (const [i, n] of shots.entries()) {
    if (!Number.isSafeInteger(n) || n < 0 || (i > 0 && n <= shots[i - 1]!))
      throw new ArgumentError(
        'zett',
        `shots are ${shots.join(', ')}; they must be integers from 0 that ascend`,
      );
  }
  if (ids.length <= length)
    throw new ArgumentError(
      'zett',
      `the text to go on with has ${ids.length} tokens; a row takes ${length + 1}: give more`,
    );
  using model = new SamOut(backend, config, parameters);
  using trainer = new SamOutTrainer(model, {
    lr,
    maxNorm: 1,
    tablesOnly: !layers,
    ignoreIndex: config.paddingIndex,
    key: key(seed),
  });
  for (const n of shots) {
    while (trainer.step < n) {
      const drawn = foldIn(foldIn(key(seed), 1), trainer.step);
      await trainer.train(await randomRows(backend, drawn, ids, batch, length));
    }
    await look(model, n);
  }
  return { config, parameters: await model.read() };
}
