import { Command, InvalidArgumentError, Option } from 'commander';
import { boundaries } from '../models/boundary/rollBack.ts';

/** `subvocab samout`: train, continue, measure and exchange SamOut models. */
export function samoutCommand(): Command {
  const twin = () =>
    new Option('--twin <twin>', 'which implementation runs').choices(['ref', 'gpu']).default('gpu');
  const adapter = () => new Option('--adapter <text>', 'part of the name of the GPU adapter to use');
  return new Command('samout')
    .description('train, continue, measure and exchange SamOut models')
    .addCommand(
      new Command('train')
        .description('train a model on text; Ctrl-C leaves a checkpoint to resume from')
        .option('--text <file...>', 'text files, UTF-8')
        .requiredOption('--steps <n>', 'steps in all, those of a resumed run included', integer(1))
        .requiredOption('--out <folder>', 'where the model, the checkpoint and the curves go')
        .option('--resume <folder>', 'continue the run in this folder, with its settings')
        .option('--bytes', 'one id per byte of UTF-8; the default')
        .option('--tokenizer <file>', 'a tokenizer.json; the folder keeps a copy')
        .option('--seed <n>', 'start values and batches', integer(0), 0)
        .option('--width <n>', 'features per position', integer(1), 128)
        .option('--layers <n>', 'layers', integer(1), 4)
        .option(
          '--heads <n>',
          'heads; they must divide the width, and change nothing without --mix-heads',
          integer(1),
          4,
        )
        .option('--tied', 'use the embedding as the head')
        .option('--cap <x>', 'what the running maximum counts as at most', number(-1e38))
        .option('--mix-heads', 'weighted sums across heads after every layer')
        .option('--dropout <p>', "the share of every layer's output that a step drops", number(0), 0)
        .option('--batch <n>', 'rows per step', integer(1), 16)
        .option('--length <n>', 'predicted positions per row', integer(1), 64)
        .option('--lr <x>', 'learning rate of Adam', number(0), 0.001)
        .option('--max-norm <x>', 'clip the norm of all gradients together', number(0))
        .option(
          '--save-every <n>',
          'steps between checkpoints; there is one every minute, too',
          integer(1),
          100,
        )
        .addOption(twin())
        .addOption(adapter())
        .option('--json', 'one line of JSON per step on stdout')
        .action(async (options) => (await import('./actions/samoutTrain.ts')).train(options)),
    )
    .addCommand(
      new Command('generate')
        .description('continue a text')
        .requiredOption('--model <folder>', 'a folder that train wrote')
        .requiredOption('--prompt <text>', 'what to continue; may be empty')
        .option('--tokenizer <file>', "a tokenizer.json in place of the folder's")
        .option('--max-tokens <n>', 'how many tokens at most', integer(1), 200)
        .option('--temperature <x>', '0: always the most probable token', number(0), 1)
        .option('--top-k <n>', 'choose among the k most probable', integer(1))
        .option('--top-p <x>', 'choose among the fewest whose probabilities reach this', number(0))
        .addOption(
          new Option('--boundary <rung>', 'how the end of the prompt may be cut again')
            .choices([...boundaries])
            .default('none'),
        )
        .option('--seed <n>', 'the same seed gives the same text', integer(0), 0)
        .addOption(twin())
        .addOption(adapter())
        .action(async (options) => (await import('./actions/samoutUse.ts')).generateText(options)),
    )
    .addCommand(
      new Command('eval')
        .description('bits per byte of a text')
        .requiredOption('--model <folder>', 'a folder that train wrote')
        .requiredOption('--text <file>', 'a text file, UTF-8')
        .option('--tokenizer <file>', "a tokenizer.json in place of the folder's")
        .option('--skip-bottom <x>', 'Skip-Tuning: scale of the last residual input', number(0), 1)
        .option('--skip-top <x>', 'Skip-Tuning: scale of the first residual input', number(0), 1)
        .addOption(twin())
        .addOption(adapter())
        .option('--json', 'print JSON')
        .action(async (options) => (await import('./actions/samoutUse.ts')).evaluate(options)),
    )
    .addCommand(
      new Command('logits')
        .description("logits of a checkpoint with PyTorch's names")
        .requiredOption('--checkpoint <file>', 'safetensors with the names of state_dict()')
        .requiredOption('--ids <file>', 'safetensors with the tensor "ids" [batch, length]')
        .requiredOption('--out <file>', 'safetensors with the tensor "logits"')
        .option('--config <json>', 'what shapes do not tell, such as \'{"paddingIndex": 259}\'', '{}')
        .option('--incremental', 'feed token by token, carrying the state')
        .addOption(twin())
        .addOption(adapter())
        .action(async (options) => (await import('./actions/samoutExchange.ts')).logits(options)),
    )
    .addCommand(
      new Command('fit')
        .description("the seed's training loop on given batches: Adam, ignored id 3")
        .requiredOption('--checkpoint <file>', 'safetensors with the names of state_dict()')
        .requiredOption('--tokens <file>', 'safetensors with the tensor "tokens" [steps, batch, length + 1]')
        .requiredOption('--steps <n>', 'how many of the batches', integer(1))
        .requiredOption('--out <file>', 'where the trained checkpoint goes, with its losses as "losses"')
        .option('--lr <x>', 'learning rate', number(0), 0.001)
        .option('--ignore-index <n>', 'targets of this id do not count', integer(0), 3)
        .option('--config <json>', 'what shapes do not tell', '{}')
        .addOption(twin())
        .addOption(adapter())
        .action(async (options) => (await import('./actions/samoutExchange.ts')).fit(options)),
    );
}

/** An option that is an integer of at least `least`. */
function integer(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < least) {
      throw new InvalidArgumentError(`It must be an integer of at least ${least}.`);
    }
    return value;
  };
}

/** An option that is a finite number of at least `least`. */
function number(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isFinite(value) || value < least) {
      throw new InvalidArgumentError(`It must be a number of at least ${least}.`);
    }
    return value;
  };
}
