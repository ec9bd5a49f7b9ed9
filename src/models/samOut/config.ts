import { ArgumentError } from '../../core/errors.ts';

/** What a SamOut model is made of. The defaults are the seed's. */
export interface SamOutConfig {
  /** Number of token ids. @defaultValue 8460 */
  readonly vocabulary: number;
  /** Features per position. @defaultValue 512 */
  readonly width: number;
  /**
   * Must divide the width, and otherwise does nothing: every operation is channelwise, so splitting channels into heads
   * and joining them again changes no bit. Kept because checkpoints and papers state it. @defaultValue 8
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
}

export const samOutDefaults: SamOutConfig = {
  vocabulary: 8460,
  width: 512,
  heads: 8,
  layers: 8,
  paddingIndex: 259,
  tied: false,
  layerNormEps: 1e-5,
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
  if (typeof config.tied !== 'boolean')
    throw new ArgumentError(op, `tied is ${config.tied}; it must be true or false`);
  if (!(config.layerNormEps > 0)) {
    throw new ArgumentError(op, `layerNormEps is ${config.layerNormEps}; it must be above 0`);
  }
  return config;
}
