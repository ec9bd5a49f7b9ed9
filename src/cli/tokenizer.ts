import { Command, InvalidArgumentError, Option } from 'commander';

/** `subvocab tokenizer`: learn a tokenizer from text. */
export function tokenizerCommand(): Command {
  return new Command('tokenizer').description('learn tokenizers').addCommand(
    new Command('train')
      .description('learn a byte-level tokenizer and write it as a standard tokenizer.json')
      .requiredOption('--text <file...>', 'text files, UTF-8')
      .addOption(
        new Option('--model <model>', 'how text is cut').choices(['bpe', 'unigram']).makeOptionMandatory(),
      )
      .requiredOption('--vocabulary <n>', 'ids in all: special tokens, 256 bytes, and what is learned', size)
      .requiredOption('--out <file>', 'where the tokenizer.json goes')
      .option('--special <token...>', 'special tokens, the first ids', ['<begin>', '<end>', '<pad>'])
      .option('--json', 'print what was learned')
      .action(async (options) => (await import('./actions/tokenizer.ts')).trainTokenizer(options)),
  );
}

function size(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 256 || value > 2 ** 24) {
    throw new InvalidArgumentError('It must be an integer from 256 to 2^24.');
  }
  return value;
}
