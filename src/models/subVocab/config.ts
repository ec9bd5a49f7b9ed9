import { ArgumentError } from '../../core/errors.ts';
import { type Pooling, poolings } from '../../core/ops/poolQuery.ts';
import { type SamOutConfig, samOutConfig } from '../samOut/config.ts';

/** A SamOut model whose head, after a [SUBVOCAB], is a sample of the vocabulary. */
export interface SubVocabConfig {
  /** Its vocabulary holds the special ids first, then the words. */
  readonly samOut: SamOutConfig;
  /** The id of [SUBVOCAB]. @defaultValue 1 */
  readonly subVocabId: number;
  /** How many ids at the start are no words: padding, [SUBVOCAB] and the like. @defaultValue 2 */
  readonly specials: number;
  /** Words of a sub-vocabulary. @defaultValue 8192 */
  readonly k: number;
  /** How many words the index proposes, of which k are selected; all words if there are no more. @defaultValue 4 k */
  readonly candidates: number;
  /** What a [SUBVOCAB] asks with. @defaultValue 'own' */
  readonly pooling: Pooling;
}

/** Fill in the defaults and check. @throws ArgumentError naming the field, its value and what it may be */
export function subVocabConfig(
  given: Omit<Partial<SubVocabConfig>, 'samOut'> & { readonly samOut?: Partial<SamOutConfig> } = {},
): SubVocabConfig {
  const op = 'subVocab';
  const samOut = samOutConfig({ paddingIndex: 0, ...given.samOut });
  const { subVocabId = 1, specials = 2, k = 8192, pooling = 'own' } = given;
  const { candidates = 4 * k } = given;
  const words = samOut.vocabulary - specials;
  const whole = (name: string, value: number, low: number, high: number): void => {
    if (!Number.isSafeInteger(value) || value < low || value > high)
      throw new ArgumentError(op, `${name} is ${value}; it must be an integer from ${low} to ${high}`);
  };
  whole('specials', specials, 1, samOut.vocabulary - 1);
  whole('subVocabId', subVocabId, 0, specials - 1);
  if (subVocabId === samOut.paddingIndex)
    throw new ArgumentError(op, `subVocabId is ${subVocabId}, and so is paddingIndex; they must differ`);
  whole('k', k, 1, Number.MAX_SAFE_INTEGER);
  whole('candidates', candidates, Math.min(k, words), Number.MAX_SAFE_INTEGER);
  if (!poolings.includes(pooling))
    throw new ArgumentError(
      op,
      `pooling is ${JSON.stringify(pooling)}; it must be one of ${poolings.join(', ')}`,
    );
  return {
    samOut,
    subVocabId,
    specials,
    k: Math.min(k, words),
    candidates: Math.min(candidates, words),
    pooling,
  };
}
