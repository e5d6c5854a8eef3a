//! `#[kc::model]` and `#[kc::data]`: they mark the functions of a model file that the `kc` command calls.

use proc_macro::{Delimiter, TokenStream, TokenTree};

/// Marks the function that makes the model: without parameters, returning a `Model`, a `Sequential`, or a `Result` of one.
///
/// ```text
/// #[kc::model]
/// fn model() -> Sequential {
///     Sequential::new().add(Input::new([784])).add(Dense::new(10))
/// }
/// ```
#[proc_macro_attribute]
pub fn model(arguments: TokenStream, item: TokenStream) -> TokenStream {
    entry("model", "kc_model", "::kc::Model", "::kc::IntoModel::into_model", arguments, item)
}

/// Marks the function that makes the data: without parameters, returning a `Data`, a pair `(x, y)`, training and test pairs as
/// `keras.datasets` has them, or a `Result` of one of these.
///
/// ```text
/// #[kc::data]
/// fn data() -> kc::Result<kc::datasets::Split> {
///     Ok(kc::datasets::mnist()?)
/// }
/// ```
#[proc_macro_attribute]
pub fn data(arguments: TokenStream, item: TokenStream) -> TokenStream {
    entry("data", "kc_data", "::kc::Data", "::kc::IntoData::into_data", arguments, item)
}

/// The item, and a function of a known name that calls it and converts what it returns.
fn entry(
    attribute: &str,
    entry: &str,
    ty: &str,
    convert: &str,
    arguments: TokenStream,
    item: TokenStream,
) -> TokenStream {
    if !arguments.is_empty() {
        return error(arguments, &format!("`#[kc::{attribute}]` takes no arguments"));
    }
    let name = match function(&item) {
        Ok(name) => name,
        // the item stays, so that nothing else is reported beside the mistake
        Err((place, found)) => {
            let message = format!("`#[kc::{attribute}]` marks a function without parameters, {found}");
            return error(place, &message).into_iter().chain(item).collect();
        }
    };
    let code = format!(
        "#[doc(hidden)] #[allow(dead_code)]\n\
         pub fn {entry}() -> ::std::result::Result<{ty}, ::std::string::String> {{ {convert}({name}()) }}"
    );
    match code.parse::<TokenStream>() {
        Ok(added) => item.into_iter().chain(added).collect(),
        Err(failure) => error(item, &failure.to_string()),
    }
}

/// The name of the function that an item is.
fn function(item: &TokenStream) -> Result<String, (TokenStream, String)> {
    let mut tokens = item.clone().into_iter();
    let found = |token: Option<TokenTree>, what: &str| match token {
        Some(token) => (TokenStream::from(token.clone()), format!("{what} `{token}`")),
        None => (item.clone(), format!("{what} nothing")),
    };
    for token in tokens.by_ref() {
        match &token {
            TokenTree::Ident(word) if word.to_string() == "fn" => {
                let name = tokens.next();
                let Some(TokenTree::Ident(name)) = name else { return Err(found(name, "found")) };
                return match tokens.next() {
                    Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => {
                        if group.stream().is_empty() {
                            Ok(name.to_string())
                        } else {
                            Err((group.stream(), format!("`{name}` has parameters")))
                        }
                    }
                    other => Err(found(other, "found")),
                };
            }
            TokenTree::Ident(word)
                if matches!(
                    word.to_string().as_str(),
                    "struct" | "enum" | "mod" | "const" | "static" | "impl" | "trait" | "type" | "use" | "async"
                ) =>
            {
                return Err(found(Some(token), "found"));
            }
            _ => {}
        }
    }
    Err(found(None, "found"))
}

/// An error at the place of these tokens.
fn error(place: TokenStream, message: &str) -> TokenStream {
    let message = format!("compile_error!({message:?});");
    let span = place.into_iter().next().map(|token| token.span());
    let tokens: TokenStream = message.parse().unwrap_or_default();
    match span {
        Some(span) => tokens
            .into_iter()
            .map(|mut token| {
                token.set_span(span);
                token
            })
            .collect(),
        None => tokens,
    }
}
