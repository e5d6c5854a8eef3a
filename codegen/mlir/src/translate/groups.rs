//! Products of groups of neighbouring lanes, summed: see `kc_ir::kernel::Instruction::MultiplyAddGroups`.

use super::value::{lane_type, register_type, vector_of};
use super::{Result, Translator};
use kc_abi::DType;
use kc_ir::kernel::{Register, RegisterType};
use kc_ir::tensor::ops::Binary;

impl Translator<'_> {
    /// The lanes of a register in turn: those of a group as one number, as CPUs load it into all lanes.
    pub(super) fn repeat(&mut self, register: Register, x: &str, from: RegisterType) -> Result<String> {
        self.check_whole(register)?;
        let to = self.kernel.registers[register.0 as usize];
        if !matches!(lane_type(from.dtype), "i8" | "i16") || from.lanes * from.dtype.bits() != 32 {
            let lanes: Vec<String> = (0..to.lanes).map(|lane| (lane % from.lanes).to_string()).collect();
            let ty = register_type(from);
            return Ok(self.op(&format!("vector.shuffle {x}, {x} [{}] : {ty}, {ty}", lanes.join(", "))));
        }
        let one = self.op(&format!("vector.bitcast {x} : {} to vector<1xi32>", register_type(from)));
        let one = self.op(&format!("vector.extract {one}[0] : i32 from vector<1xi32>"));
        let count = to.lanes / from.lanes;
        let all = self.op(&format!("vector.broadcast {one} : i32 to vector<{count}xi32>"));
        Ok(self.op(&format!("vector.bitcast {all} : vector<{count}xi32> to {}", register_type(to))))
    }

    /// One instruction where the CPU has it, else the same of conversions, products and sums.
    pub(super) fn multiply_add_groups(
        &mut self,
        register: Register,
        factors: [(String, RegisterType); 2],
        c: &str,
    ) -> Result<String> {
        self.check_whole(register)?;
        let sums = self.kernel.registers[register.0 as usize];
        let instruction = self.cpu.multiply_add_groups(sums.dtype, sums.lanes);
        let [(a, a_ty), (b, b_ty)] = &factors;
        let result = register_type(sums);
        match (instruction, a_ty.dtype, b_ty.dtype) {
            (Some(name), DType::Bf16, _) => {
                let ty = vector_of("bf16", a_ty.lanes);
                let [a, b] =
                    [a, b].map(|x| self.op(&format!("vector.bitcast {x} : {} to {ty}", vector_of("i16", a_ty.lanes))));
                Ok(self
                    .op(&format!("llvm.call_intrinsic \"{name}\"({c}, {a}, {b}) : ({result}, {ty}, {ty}) -> {result}")))
            }
            // the unsigned operand comes first
            (Some(name), x, y) if x != y => {
                let (a, b) = if x == DType::U8 { (a, b) } else { (b, a) };
                let ty = register_type(*a_ty);
                Ok(self
                    .op(&format!("llvm.call_intrinsic \"{name}\"({c}, {a}, {b}) : ({result}, {ty}, {ty}) -> {result}")))
            }
            _ => self.expanded_groups(&factors, c, sums),
        }
    }

    fn expanded_groups(
        &mut self,
        factors: &[(String, RegisterType); 2],
        c: &str,
        sums: RegisterType,
    ) -> Result<String> {
        let group = factors[0].1.lanes / sums.lanes;
        let parts: Vec<u32> = if group == 2 { vec![1, 0] } else { (0..group).collect() };
        let mut sum = c.to_owned();
        for part in parts {
            let [a, b] = factors.each_ref().map(|(x, ty)| {
                let lanes: Vec<String> = (0..sums.lanes).map(|lane| (lane * group + part).to_string()).collect();
                let text = register_type(*ty);
                let mut one = self.op(&format!("vector.shuffle {x}, {x} [{}] : {text}, {text}", lanes.join(", ")));
                if sums.lanes == 1 {
                    let element = lane_type(ty.dtype);
                    one = self.op(&format!("vector.extract {one}[0] : {element} from vector<1x{element}>"));
                }
                self.convert(&one, RegisterType { lanes: sums.lanes, ..*ty }, sums.dtype)
            });
            sum = if sums.dtype.is_float() {
                self.multiply_add(&a, &b, &sum, sums)?
            } else {
                let product = self.binary(Binary::Multiply, &a, &b, sums)?;
                self.binary(Binary::Add, &sum, &product, sums)?
            };
        }
        Ok(sum)
    }

    /// Threads of a GPU that share a register's lanes have none of their neighbours.
    fn check_whole(&self, register: Register) -> Result<()> {
        if self.whole_lanes(register) == self.kernel.registers[register.0 as usize].lanes {
            return Ok(());
        }
        self.error("groups of lanes between threads, which have no code yet".to_owned())
    }
}
