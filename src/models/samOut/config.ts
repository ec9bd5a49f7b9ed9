import { ArgumentError } from '../../core/errors.ts';

/** What a SamOut model is made of. The defaults are the seed's. */
export interface SamOutConfig {
  /** Number of token ids. @defaultValue 8460 */
  readonly vocabulary: number;
  /** Features per position. @defaultValue 512 */
  readonly width: number;
  /**
   * Must divide the width. Without `mixHeads` it does nothing else: every operation is channelwise, so splitting channels
   * into heads and joining them again changes no bit. Kept because checkpoints and papers state it. @defaultValue 8
   */
  readonly heads: number;
  /** @defaultValue 8 */
  readonly layers: number;
  /** The id whose embedding is zero and learns nothing. @defaultValue 259 */
  readonly paddingIndex: number;
  /** Use the embedding table as the output head. The seed claims it and does not do it. @defaultValue false */
  readonly tied: boolean;
  /** Added to the variance in layer normalisation. @defaultValue 1e-5 */
  readonly layerNormEps: number;
  /**
   * What the running maximum counts as at most in the mixture; the state itself is not touched. null: no cap.
   * A running maximum only rises, so a long text drives a model out of what it was trained on. @defaultValue null
   */
  readonly cap: number | null;
  /** Every layer's output passes through weighted sums across heads, the identity at first. @defaultValue false */
  readonly mixHeads: boolean;
  /** The share of every layer's output that training sets to 0. Inference drops nothing. @defaultValue 0 */
  readonly dropout: number;
}

export const samOutDefaults: SamOutConfig = {
  vocabulary: 8460,
  width: 512,
  heads: 8,
  layers: 8,
  paddingIndex: 259,
  tied: false,
  layerNormEps: 1e-5,
  cap: null,
  mixHeads: false,
  dropout: 0,
};

/** Fill in the defaults and check. @throws ArgumentError naming the field, its value and what it may be */
export function samOutConfig(given: Partial<SamOutConfig> = {}): SamOutConfig {
  const op = 'samOut';
  for (const name of Object.keys(given)) {
    if (!(name in samOutDefaults)) {
      throw new ArgumentError(
        op,
        `there is no field "${name}"; there are ${Object.keys(samOutDefaults).join(', ')}`,
      );
    }
  }
  const config = { ...samOutDefaults, ...given };
  for (const name of ['vocabulary', 'width', 'heads', 'layers'] as const) {
    if (!Number.isSafeInteger(config[name]) || config[name] < 1) {
      throw new ArgumentError(op, `${name} is ${config[name]}; it must be an integer of at least 1`);
    }
  }
  if (config.width % config.heads !== 0) {
    throw new ArgumentError(op, `heads is ${config.heads}; it must divide the width ${config.width}`);
  }
  const { paddingIndex, vocabulary } = config;
  if (!Number.isInteger(paddingIndex) || paddingIndex < 0 || paddingIndex >= vocabulary) {
    throw new ArgumentError(
      op,
      `paddingIndex is ${paddingIndex}; it must be an id below the vocabulary ${vocabulary}`,
    );
  }
  for (const name of ['tied', 'mixHeads'] as const) {
    if (typeof config[name] !== 'boolean')
      throw new ArgumentError(op, `${name} is ${config[name]}; it must be true or false`);
  }
  if (config.cap !== null && !Number.isFinite(config.cap))
    throw new ArgumentError(op, `cap is ${config.cap}; it must be a finite number, or null for none`);
  if (!(config.dropout >= 0 && config.dropout < 1))
    throw new ArgumentError(op, `dropout is ${config.dropout}; it must be at least 0 and below 1`);
  if (!(config.layerNormEps > 0)) {
    throw new ArgumentError(op, `layerNormEps is ${config.layerNormEps}; it must be above 0`);
  }
  return config;
}
