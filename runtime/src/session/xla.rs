//! A package for XLA in execution: state that stays on the device, programs that are compiled when they are first needed.

use super::bind::Signature;
use super::{Argument, DeviceOptions, SessionError, fit_outputs};
use crate::array::Array;
use crate::cache::CodeCache;
use crate::pjrt::{self, Buffer, Client, CompileOptions, Event, Executable, PjrtError, Plugin, Processes, find};
use crate::stablehlo::instantiate;
use kc_abi::manifest::{DeviceProgram, Distribution, Entry, Manifest, Output, Place, ProgramForm, StateTensor};
use kc_abi::{DType, Dim, Symbol};
use std::collections::{BTreeSet, VecDeque};

/// Steps that may be under way before the next one waits for the oldest: enough to keep the device busy while the next batch is
/// made, few enough that their inputs do not fill its memory.
const STEPS_AHEAD: usize = 4;

/// For how many sets of extents a program stays compiled; the one that was not used for longest gives way. Compiling takes seconds.
const COMPILED_PROGRAMS: usize = 32;

/// Bytes that compiled programs may have together that are kept for later sessions.
const CACHE_BYTES: u64 = 1 << 30;

/// A program for certain extents.
struct Compiled {
    /// The values of the symbols.
    values: Vec<i64>,
    executable: Executable,
}

pub(super) struct Device {
    signatures: Vec<Signature>,
    client: Client,
    code: Vec<u8>,
    /// For each of the manifest's programs those that are compiled, the one that was used last at the end.
    compiled: Vec<Vec<Compiled>>,
    /// For each of the manifest's programs whether these devices do not take it as it was compiled ahead.
    refused: Vec<bool>,
    /// How it is spread over devices, here and in other processes; without axes over one.
    distribution: Distribution,
    /// The devices of this process, each with its place in the mesh.
    own: Vec<(usize, pjrt::Device)>,
    /// The state tensors that lie on the devices: what each of this process has of it.
    state: Vec<Option<Vec<Buffer>>>,
    /// Whether the host's copy of a state tensor has the value of the device's.
    host_has: Vec<bool>,
    /// Of each step under way the ends on the devices.
    under_way: VecDeque<Vec<Event>>,
    cache: Option<CodeCache>,
}

impl Device {
    pub(super) fn new(manifest: &Manifest, code: &[u8], options: &DeviceOptions) -> Result<Self, SessionError> {
        for program in &manifest.code.programs {
            let lies = program.offset.checked_add(program.bytes).is_some_and(|end| end <= code.len() as u64);
            if !lies || program.entry >= manifest.entries.len() {
                return Err(SessionError::Manifest("a program does not lie in the package's code".into()));
            }
            let entry = &manifest.entries[program.entry];
            let exists = |place: &Place| match *place {
                Place::State(index) => index < manifest.state.len(),
                Place::Input(index) => index < entry.inputs.len(),
                Place::Output(index) => index < entry.outputs.len(),
                Place::Slot(_) | Place::Constant(_) => false,
            };
            if !program.arguments.iter().chain(&program.results).all(exists) {
                let name = &entry.name;
                return Err(SessionError::Manifest(format!("a program of `{name}` names what the package lacks")));
            }
        }
        let mesh = manifest.model.distribution.iter().flat_map(|distribution| &distribution.mesh);
        let product = mesh.clone().try_fold(1usize, |product, axis| product.checked_mul(axis.size));
        if product.is_none_or(|product| product == 0) {
            return Err(SessionError::Manifest("its mesh has no devices, or too many".into()));
        }
        let said = match &options.processes {
            Some(processes) => Some(processes.clone()),
            None => Processes::from_environment(None, None, None)?,
        };
        let client = Client::shared(Plugin::open(&find(options.plugin.as_deref())?)?, said.as_ref())?;
        let distribution = manifest.model.distribution.clone().unwrap_or_default();
        let (needed, present) = (distribution.devices(), client.all_devices().len());
        let platform = || client.platform().to_owned();
        if needed > present {
            return Err(SessionError::Devices { needed, present, platform: platform() });
        }
        let here = client.devices()[0].process;
        let places = client.devices_of(needed).iter().cloned().enumerate();
        let own: Vec<_> = places.filter(|(_, device)| device.process == here).collect();
        if own.is_empty() {
            return Err(SessionError::NoPart { needed, present, process: here, platform: platform() });
        }
        let fits = |(axes, tensor): (&Vec<Option<usize>>, &StateTensor)| {
            let divides = |(axis, extent): (&Option<usize>, &Dim)| {
                extent.as_constant().is_some_and(|extent| extent % distribution.parts(*axis) as i64 == 0)
            };
            axes.len() == tensor.ty.rank() && axes.iter().zip(&tensor.ty.shape).all(divides)
        };
        if needed > 1
            && (distribution.state.len() != manifest.state.len()
                || !distribution.state.iter().zip(&manifest.state).all(fits))
        {
            return Err(SessionError::Manifest("its distribution does not fit the state tensors".into()));
        }
        Ok(Device {
            signatures: manifest.entries.iter().map(Signature::new).collect::<Result<_, _>>()?,
            distribution,
            own,
            client,
            code: code.to_vec(),
            compiled: manifest.code.programs.iter().map(|_| Vec::new()).collect(),
            refused: vec![false; manifest.code.programs.len()],
            state: manifest.state.iter().map(|_| None).collect(),
            host_has: vec![true; manifest.state.len()],
            under_way: VecDeque::new(),
            cache: options.cache.as_ref().map(|folder| CodeCache::new(folder, CACHE_BYTES)),
        })
    }

    pub(super) fn code(&self) -> &[u8] {
        &self.code
    }

    /// Brings the value of a state tensor to the host.
    pub(super) fn read(&mut self, index: usize, tensor: &StateTensor, host: &mut Array) -> Result<(), SessionError> {
        if self.host_has[index] {
            return Ok(());
        }
        if let Some(buffers) = &self.state[index] {
            let axes = self.axes_of_state(index);
            // a part that several devices have is read from the first
            let mut seen = BTreeSet::new();
            for (buffer, (place, _)) in buffers.iter().zip(&self.own) {
                let region = Region::of(&self.distribution, axes, host.shape(), *place);
                if !seen.insert(region.start.clone()) {
                    continue;
                }
                if region.is_whole(host.shape()) {
                    self.client.download(buffer, host)?;
                    continue;
                }
                let mut part = Array::zeros(host.dtype(), &region.extents)?;
                self.client.download(buffer, &mut part)?;
                region.put(&part, host);
            }
            let parts: usize = axes.iter().map(|axis| self.distribution.parts(*axis)).product();
            if seen.len() < parts && !host.bytes().is_empty() {
                return Err(SessionError::Elsewhere { tensor: tensor.name.clone(), here: seen.len(), parts });
            }
        }
        self.host_has[index] = true;
        Ok(())
    }

    /// Notes that the host's value of a state tensor is the one that counts.
    pub(super) fn replaced(&mut self, index: usize) {
        self.state[index] = None;
        self.host_has[index] = true;
    }

    /// Starts an entry point and waits for its outputs, which have their shapes.
    pub(super) fn run<A: Argument>(
        &mut self,
        manifest: &Manifest,
        entry: usize,
        inputs: &[A],
        state: &[Array],
        outputs: &mut Vec<Array>,
    ) -> Result<(), SessionError> {
        let signature = &self.signatures[entry];
        let mut values = Vec::new();
        signature.bind(&manifest.entries[entry], inputs, &mut values)?;
        let symbols = |symbol: &Symbol| signature.value(symbol, &values);
        fit_outputs(&manifest.entries[entry], &output_shapes(&manifest.entries[entry], &symbols)?, outputs)?;
        let description = &manifest.entries[entry];
        let parts = self.distribution.parts(self.distribution.batch);
        let batch_axes: Vec<Option<usize>> =
            description.inputs.iter().map(|input| input.batch_axis(&description.name)).collect();
        // a batch that cannot be divided is on every device: its numbers are the same
        let can_be_divided = |(array, axis): (&A, &Option<usize>)| match axis {
            Some(axis) => array.shape().get(*axis).is_some_and(|samples| samples % parts == 0),
            None => true,
        };
        let divided =
            parts > 1 && batch_axes.iter().any(Option::is_some) && inputs.iter().zip(&batch_axes).all(can_be_divided);
        let mut number = self.program(manifest, entry, &values, divided)?;
        match self.compiled[number].iter().position(|compiled| compiled.values == values) {
            Some(place) => self.compiled[number][place..].rotate_left(1),
            None => {
                let mut compiled = self.compile(&manifest.code.programs[number], &symbols);
                // what was compiled ahead may be for other devices of the platform: the text serves
                if compiled.is_err() && manifest.code.programs[number].form != ProgramForm::Stablehlo {
                    self.refused[number] = true;
                    if let Ok(text) = self.program(manifest, entry, &values, divided) {
                        number = text;
                        compiled = self.compile(&manifest.code.programs[number], &symbols);
                    }
                }
                let (executable, program) = (compiled?, &manifest.code.programs[number]);
                if executable.results() != program.results.len() {
                    let (given, listed) = (executable.results(), program.results.len());
                    return Err(SessionError::Manifest(format!("it lists {listed} results, the program has {given}")));
                }
                if self.compiled[number].len() == COMPILED_PROGRAMS {
                    self.compiled[number].remove(0);
                }
                self.compiled[number].push(Compiled { values, executable });
            }
        }
        let program = &manifest.code.programs[number];
        let last = self.compiled[number].len() - 1;
        for place in &program.arguments {
            if let Place::State(index) = *place
                && self.state[index].is_none()
            {
                self.state[index] = Some(self.upload(&Tensor::of(&state[index]), self.axes_of_state(index))?);
            }
        }
        let mut given = Vec::with_capacity(inputs.len());
        for (array, axis) in inputs.iter().zip(batch_axes) {
            let mut axes = [None; 2];
            if let Some(axis) = axis.filter(|_| program.batch_divided) {
                axes[axis] = self.distribution.batch;
            }
            given.push(self.upload(&Tensor::of(array), &axes)?);
        }
        let Device { client, compiled, state: held, host_has, under_way, own, .. } = self;
        let devices = own.len();
        let arguments: Vec<Vec<&Buffer>> = (0..devices)
            .map(|device| {
                let of = |place: &Place| match *place {
                    Place::State(index) => held[index].as_ref()?.get(device),
                    Place::Input(index) => given.get(index)?.get(device),
                    Place::Output(_) | Place::Slot(_) | Place::Constant(_) => None,
                };
                program.arguments.iter().filter_map(of).collect()
            })
            .collect();
        let executable = &compiled[number][last].executable;
        // where it fails, XLA says of state that was donated that it is gone
        let (results, events) = executable.execute(&arguments)?;
        let mut to_read = Vec::with_capacity(outputs.len());
        for place in &program.results {
            if let Place::State(index) = *place {
                held[index] = Some(Vec::with_capacity(devices));
                host_has[index] = false;
            }
        }
        for (device, buffers) in results.into_iter().enumerate() {
            for (buffer, place) in buffers.into_iter().zip(&program.results) {
                match *place {
                    Place::State(index) => held[index].get_or_insert_default().push(buffer),
                    // every device has all of an output
                    Place::Output(index) if device == 0 => to_read.push((index, buffer)),
                    Place::Output(_) | Place::Input(_) | Place::Slot(_) | Place::Constant(_) => {}
                }
            }
        }
        under_way.push_back(events);
        for (index, buffer) in to_read {
            client.download(&buffer, &mut outputs[index])?;
        }
        self.wait_for_all_but(STEPS_AHEAD)
    }

    /// Waits until all executions that were started have ended.
    pub(super) fn wait(&mut self) -> Result<(), SessionError> {
        self.wait_for_all_but(0)
    }

    fn wait_for_all_but(&mut self, most: usize) -> Result<(), SessionError> {
        while self.under_way.len() > most {
            for end in self.under_way.pop_front().into_iter().flatten() {
                end.wait()?;
            }
        }
        Ok(())
    }

    fn axes_of_state(&self, index: usize) -> &[Option<usize>] {
        self.distribution.state.get(index).map_or(&[], Vec::as_slice)
    }

    /// What each device of this process has of an array whose first axes these axes of the mesh divide.
    fn upload(&self, array: &Tensor<'_>, axes: &[Option<usize>]) -> Result<Vec<Buffer>, SessionError> {
        let parts = self.own.iter().map(|(place, device)| {
            let region = Region::of(&self.distribution, axes, array.shape, *place);
            if region.is_whole(array.shape) {
                return Ok(self.client.upload(array.dtype, array.shape, array.bytes, device)?);
            }
            let part = region.take(array)?;
            Ok(self.client.upload(part.dtype(), part.shape(), part.bytes(), device)?)
        });
        parts.collect()
    }

    /// The program of an entry point for these extents: one that is compiled for them, else the text.
    fn program(&self, manifest: &Manifest, entry: usize, values: &[i64], divided: bool) -> Result<usize, SessionError> {
        let of_entry = |program: &DeviceProgram| program.entry == entry && program.batch_divided == divided;
        let programs = || manifest.code.programs.iter().enumerate().filter(|(_, program)| of_entry(program));
        let exact = programs().find(|(number, program)| match &program.form {
            ProgramForm::Executable { values: own, platform, .. } => {
                own == values && *platform == self.client.platform() && !self.refused[*number]
            }
            ProgramForm::Stablehlo => false,
        });
        let text = || programs().find(|(_, program)| program.form == ProgramForm::Stablehlo);
        let found = exact.or_else(text).map(|(number, _)| number);
        found.ok_or_else(|| {
            SessionError::Manifest(format!("`{}` has no program for these extents", manifest.entries[entry].name))
        })
    }

    fn compile(
        &self,
        program: &DeviceProgram,
        symbols: &dyn Fn(&Symbol) -> Option<i64>,
    ) -> Result<Executable, SessionError> {
        let bytes = &self.code[program.offset as usize..(program.offset + program.bytes) as usize];
        if program.form != ProgramForm::Stablehlo {
            return Ok(self.client.load(bytes)?);
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|error| SessionError::Manifest(format!("a program is no text: {error}")))?;
        let text = instantiate(text, symbols)
            .map_err(|message| SessionError::Manifest(format!("a program's extents: {message}")))?;
        let options = CompileOptions { partitions: self.distribution.devices().max(1) };
        let Some(cache) = &self.cache else { return Ok(self.client.compile(&text, &options)?) };
        let key = self.key(&text, &options);
        // what cannot be read or loaded is compiled again
        if let Some(kept) = cache.read(&key)
            && let Ok(executable) = self.client.load(&kept)
        {
            return Ok(executable);
        }
        let executable = self.client.compile(&text, &options)?;
        if let Ok(serialized) = executable.serialize() {
            // where that fails, a later session compiles
            let _ = cache.write(&key, &serialized);
        }
        Ok(executable)
    }

    /// What a compiled program is kept under: all that it depends on.
    fn key(&self, text: &str, options: &CompileOptions) -> Vec<u8> {
        let plugin = self.client.plugin();
        let file = std::fs::metadata(plugin.path()).ok();
        let file = file.map(|metadata| (metadata.len(), metadata.modified().ok()));
        let devices = self.client.devices_of(options.partitions).iter().map(|device| (&device.kind, device.id));
        let devices: Vec<_> = devices.collect();
        let flags = ["XLA_FLAGS", "LIBTPU_INIT_ARGS"].map(std::env::var_os);
        let (path, version, attributes) = (plugin.path(), plugin.version(), plugin.attributes());
        format!("{path:?}\n{file:?}\n{version:?}\n{devices:?}\n{attributes:?}\n{flags:?}\n{options:?}\n{text}")
            .into_bytes()
    }
}

/// A tensor in memory.
struct Tensor<'a> {
    dtype: DType,
    shape: &'a [usize],
    bytes: &'a [u8],
}

impl<'a> Tensor<'a> {
    fn of<A: Argument>(argument: &'a A) -> Self {
        let (dtype, shape) = (argument.dtype(), argument.shape());
        let length = shape.iter().product::<usize>() * dtype.bytes();
        // SAFETY: as many elements lie there as the shape says.
        let bytes = unsafe { std::slice::from_raw_parts(argument.pointer(), length) };
        Tensor { dtype, shape, bytes }
    }
}

/// The shapes of an entry point's outputs.
fn output_shapes(entry: &Entry, symbols: &dyn Fn(&Symbol) -> Option<i64>) -> Result<Vec<Vec<usize>>, SessionError> {
    let shape = |output: &Output| {
        let extents = output.ty.shape.iter().map(|dim| usize::try_from(dim.evaluate(symbols)?).ok());
        extents.collect::<Option<Vec<usize>>>().ok_or_else(|| SessionError::TooLarge {
            entry: entry.name.clone(),
            detail: format!("output `{}`: {}", output.name, output.ty),
        })
    };
    entry.outputs.iter().map(shape).collect()
}

/// A box of an array.
struct Region {
    start: Vec<usize>,
    extents: Vec<usize>,
}

impl Region {
    /// What a device has of an array.
    fn of(distribution: &Distribution, axes: &[Option<usize>], shape: &[usize], device: usize) -> Self {
        let mut region = Region { start: vec![0; shape.len()], extents: shape.to_vec() };
        for (place, &axis) in axes.iter().enumerate().take(shape.len()) {
            region.extents[place] /= distribution.parts(axis);
            region.start[place] = region.extents[place] * distribution.position(device, axis);
        }
        region
    }

    fn is_whole(&self, shape: &[usize]) -> bool {
        self.extents == shape
    }

    /// Calls `visit` with the place of each run of neighbours in the array and in the box, and its length, in elements.
    fn runs(&self, shape: &[usize], mut visit: impl FnMut(usize, usize, usize)) {
        let Some((&run, outer)) = self.extents.split_last() else { return visit(0, 0, 1) };
        for number in 0..outer.iter().product() {
            let (mut rest, mut place, mut stride) = (number, self.start[outer.len()], shape[outer.len()]);
            for axis in (0..outer.len()).rev() {
                place += (self.start[axis] + rest % outer[axis]) * stride;
                rest /= outer[axis];
                stride *= shape[axis];
            }
            visit(place, number * run, run);
        }
    }

    fn take(&self, array: &Tensor<'_>) -> Result<Array, SessionError> {
        let size = array.dtype.bytes();
        let mut part = Array::zeros(array.dtype, &self.extents)?;
        let target = part.bytes_mut();
        self.runs(array.shape, |place, own, length| {
            let source = &array.bytes[place * size..(place + length) * size];
            target[own * size..(own + length) * size].copy_from_slice(source);
        });
        Ok(part)
    }

    fn put(&self, part: &Array, array: &mut Array) {
        let (size, shape) = (array.dtype().bytes(), array.shape().to_vec());
        let target = array.bytes_mut();
        self.runs(&shape, |place, own, length| {
            let source = &part.bytes()[own * size..(own + length) * size];
            target[place * size..(place + length) * size].copy_from_slice(source);
        });
    }
}

impl From<PjrtError> for SessionError {
    fn from(error: PjrtError) -> Self {
        SessionError::Device(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kc_abi::manifest::MeshAxis;

    #[test]
    fn parts_of_an_array_make_it_up() {
        let axis = |name: &str, size| MeshAxis { name: name.into(), size };
        let mesh = Distribution { mesh: vec![axis("batch", 2), axis("model", 2)], ..Distribution::default() };
        let values: Vec<f32> = (0..4 * 6).map(|i| i as f32).collect();
        let array = Array::from_slice(&values, &[4, 6]).unwrap();
        let mut whole = Array::zeros(array.dtype(), &[4, 6]).unwrap();
        let axes = [Some(1), Some(0)];
        for device in 0..4 {
            let region = Region::of(&mesh, &axes, array.shape(), device);
            assert_eq!(region.extents, [2, 3]);
            region.put(&region.take(&Tensor::of(&array)).unwrap(), &mut whole);
        }
        assert_eq!(whole, array);
        let second = Region::of(&mesh, &axes, array.shape(), 1).take(&Tensor::of(&array)).unwrap();
        assert_eq!(second.as_slice::<f32>().unwrap(), [12.0, 13.0, 14.0, 18.0, 19.0, 20.0]);
    }
}
