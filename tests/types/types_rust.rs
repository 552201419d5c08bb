// Rust: boxes, vectors, enums with niches, shared pointers, trait objects, maps.
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;

pub struct Leaf {
    pub weight: u64,
    pub tag: String,
}
pub enum Shape {
    Empty,
    Round(Box<Leaf>),
    Many { parts: Vec<Leaf>, note: Option<Box<u64>> },
}
pub struct Node {
    pub next: Option<Box<Node>>,
    pub value: u64,
}
pub trait Speak {
    fn speak(&self) -> u64;
}
pub struct Dog {
    pub name: String,
    pub age: u64,
}
impl Speak for Dog {
    fn speak(&self) -> u64 {
        self.name.len() as u64 + self.age
    }
}
pub struct App {
    pub leaves: Vec<Leaf>,
    pub by_id: HashMap<u64, Box<Leaf>>,
    pub shared: Rc<RefCell<Vec<u32>>>,
    pub arc: Arc<Leaf>,
    pub shapes: Vec<Shape>,
    pub list: Option<Box<Node>>,
    pub speakers: Vec<Box<dyn Speak>>,
    pub tree: BTreeMap<u64, String>,
    pub by_name: BTreeMap<String, Box<Leaf>>,
    pub set: BTreeSet<String>,
    pub text: String,
}

#[no_mangle]
pub static mut G_APP: *mut App = std::ptr::null_mut();
extern "C" {
    fn raise(signal: i32) -> i32;
}

fn leaf(i: u64) -> Leaf {
    Leaf { weight: i, tag: format!("a leaf with a long tag, number {}", i) }
}

struct Manifest(String);
impl Manifest {
    fn say<T: ?Sized>(&mut self, at: *const T, what: &str, path: &str) {
        writeln!(self.0, "object {:p}\t{}\t{}", at as *const u8, what, path).unwrap();
    }
    fn leaf(&mut self, leaf: &Leaf, path: &str) {
        self.say(leaf as *const Leaf, "types_rust::Leaf", path);
        self.say(leaf.tag.as_ptr(), "u8[]", &format!("{}->tag", path));
    }
}

fn describe(app: &App) -> String {
    let mut m = Manifest(String::new());
    let g = "types_rust::G_APP->";
    m.say(app as *const App, "types_rust::App", "types_rust::G_APP");
    m.say(app.leaves.as_ptr(), "types_rust::Leaf[]", &format!("{}leaves", g));
    for (i, l) in app.leaves.iter().enumerate() {
        m.say(l.tag.as_ptr(), "u8[]", &format!("{}leaves[{}].tag", g, i));
    }
    for l in app.by_id.values() {
        m.leaf(l, "*");
    }
    m.say(app.shared.borrow().as_ptr(), "u32[]", &format!("{}shared", g));
    m.say(app.arc.tag.as_ptr(), "u8[]", &format!("{}arc->tag", g));
    m.say(app.shapes.as_ptr(), "types_rust::Shape[]", &format!("{}shapes", g));
    for (i, s) in app.shapes.iter().enumerate() {
        match s {
            Shape::Empty => {}
            Shape::Round(l) => m.leaf(l, &format!("{}shapes[{}].{{Round.0|Many.parts}}", g, i)),
            Shape::Many { parts, note } => {
                m.say(parts.as_ptr(), "types_rust::Leaf[]", &format!("{}shapes[{}].{{Round.0|Many.parts}}", g, i));
                m.say(&**note.as_ref().unwrap() as *const u64, "u64", &format!("{}shapes[{}].Many.note", g, i));
                m.say(parts[1].tag.as_ptr(), "u8[]", &format!("{}shapes[{}].{{Round.0|Many.parts}}[1].tag", g, i));
            }
        }
    }
    let mut node = &app.list;
    let mut depth = 0;
    while let Some(n) = node {
        let path = match depth {
            0 => format!("{}list", g),
            1 => format!("{}list->next", g),
            _ => "*->next".to_string(),
        };
        m.say(&**n as *const Node, "types_rust::Node", &path);
        node = &n.next;
        depth += 1;
    }
    m.say(&*app.speakers[0] as *const dyn Speak as *const u8, "types_rust::Dog", &format!("{}speakers", g));
    for v in app.tree.values() {
        m.say(v.as_ptr(), "u8[]", &format!("{}tree[\"key\" not shown]", g));
    }
    for (k, v) in &app.by_name {
        m.say(k.as_ptr(), "u8[]", &format!("{}by_name->{{key}}", g));
        m.say(&**v as *const Leaf, "types_rust::Leaf", &format!("{}by_name[\"key\" not shown]", g));
    }
    for k in &app.set {
        m.say(k.as_ptr(), "u8[]", &format!("{}set[*]", g));
    }
    m.say(app.text.as_ptr(), "u8[]", &format!("{}text", g));
    m.0
}

fn main() {
    let mut list: Option<Box<Node>> = None;
    for i in 0..30 {
        list = Some(Box::new(Node { next: list, value: i }));
    }
    let app = App {
        leaves: (0..10).map(leaf).collect(),
        by_id: (0..200).map(|i| (i, Box::new(leaf(i)))).collect(),
        shared: Rc::new(RefCell::new(vec![1, 2, 3, 4, 5, 6, 7])),
        arc: Arc::new(leaf(77)),
        shapes: vec![
            Shape::Empty,
            Shape::Round(Box::new(leaf(1))),
            Shape::Many { parts: vec![leaf(2), leaf(3)], note: Some(Box::new(9)) },
        ],
        list,
        speakers: vec![Box::new(Dog { name: "a dog with a longer name".to_string(), age: 7 })],
        tree: (0..40).map(|i| (i, format!("value number {} of the tree", i))).collect(),
        by_name: (0..50).map(|i| (format!("a name of the map, number {}", i), Box::new(leaf(i)))).collect(),
        set: (0..30).map(|i| format!("number {} of the set", i)).collect(),
        text: "a text".repeat(20),
    };
    unsafe {
        G_APP = Box::into_raw(Box::new(app));
        let app = &*G_APP;
        std::fs::write(std::env::args().nth(1).unwrap(), describe(app)).unwrap();
        raise(12);
        let mut n = app.speakers[0].speak() + app.list.as_ref().unwrap().value;
        for s in &app.shapes {
            n += match s {
                Shape::Empty => 0,
                Shape::Round(l) => l.weight,
                Shape::Many { parts, note } => parts.len() as u64 + **note.as_ref().unwrap(),
            };
        }
        std::process::exit(if n > 0 { 0 } else { 1 });
    }
}
