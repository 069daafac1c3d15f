// Builds ../vendor/uppy.js, and the licences of what is in it. Run by `make assets`.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { build } from 'esbuild'

const VENDOR = '../vendor'
const result = await build({
  entryPoints: ['uppy.js'],
  bundle: true,
  minify: true,
  format: 'iife',
  globalName: 'ckanFilesUppy',
  target: 'es2022',
  charset: 'utf8',
  legalComments: 'none',
  metafile: true,
  write: false,
})

const [bundle] = Object.values(result.metafile.outputs)
const used = Object.entries(bundle.inputs).filter(([, input]) => input.bytesInOutput)
const folders = new Set(used.map(([path]) => path.match(/.*node_modules\/(@[^/]+\/)?[^/]+/)?.[0]))
folders.delete(undefined)

const packages = [...folders].sort().map((folder) => {
  const { name, version, license } = JSON.parse(readFileSync(`${folder}/package.json`))
  return { title: `${name} ${version} (${license})`, text: licenceOf(folder) }
})
const notice = packages.map(({ title, text }) => `${title}\n\n${text}\n`)
writeFileSync(`${VENDOR}/uppy.LICENSE.txt`, notice.join(`\n${'-'.repeat(80)}\n\n`))
const titles = packages.map(({ title }) => ` * ${title}\n`).join('')
const banner = `/*!\n${titles} * The licences are in uppy.LICENSE.txt in the same folder.\n */\n`
writeFileSync(`${VENDOR}/uppy.js`, banner + result.outputFiles[0].text)

function licenceOf(folder) {
  const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each))
  const readme = () => readFileSync(`${folder}/README.md`, 'utf8').split(/^#+ licen[cs]e.*$/im)[1]
  const text = file ? readFileSync(`${folder}/${file}`, 'utf8') : readme()
  if (!/copyright/i.test(text)) throw new Error(`no licence in ${folder}`)
  return text.trim().replace(/\r|[ \t]+$/gm, '')
}
