#!/usr/bin/env perl
# Prints a coverage report, and compares it with the list of the lines that no test reaches:
# perl ci/coverage.pl LCOV LIST [--files] [--branches]
#
# LCOV is the output of `cargo llvm-cov --lcov` for the sources in the current directory. Test code
# does not count: files named tests.rs, src/loom_models, and the end of a file from `#[cfg(all(test,
# ..` + `mod tests {` on. Lines with only closing brackets do not count either: they have the count
# of the code after them.
#
# The table has lines and branches by module; with --files by file. LIST must then account for each
# line that no test reaches, by file and function, so that it survives edits elsewhere in the file:
#
#     src/dispatch/batch.rs fork_fields: why no test reaches these lines.
#         let x = 1;
#
# The indented lines below an entry are the only lines that it allows in the function, compared
# without their indentation. An entry without such lines allows all. A function's name is that of
# the nearest `fn` above that is indented less. Lines that begin with `#` are comments. If LIST
# names a function that the file does not have, this is a failure. An entry that no line needs is
# reported only, because some lines are reached in some runs and not in others. --branches prints
# the branches of which one side was not taken.
use strict;
use warnings;

my @args = grep { !/^--/ } @ARGV;
my %flags = map { $_ => 1 } grep { /^--/ } @ARGV;
my ($lcov, $list) = @args;
die "usage: perl ci/coverage.pl LCOV LIST [--files] [--branches]\n" unless defined $list;

# Sources: lines, where test code begins, and the function of each line.
my %sources;
my $qualifiers = qr/(?:pub(?:\([^)]*\))?\s+)?(?:const\s+)?(?:unsafe\s+)?(?:extern\s+"C"\s+)?/;
sub source {
    my $file = shift;
    return $sources{$file} if $sources{$file};
    open my $in, '<', $file or die "$file: $!\n";
    chomp(my @lines = <$in>);
    my $end = @lines;
    for my $at (1 .. $#lines) {
        if ($lines[$at] =~ /^\s*mod tests \{/ && $lines[$at - 1] =~ /^\s*#\[cfg\(.*\btest\b/) {
            $end = $at;
            last;
        }
    }
    my (@function, @open);
    for my $at (0 .. $#lines) {
        my ($indent) = $lines[$at] =~ /^(\s*)\S/;
        if (defined $indent) {
            my $depth = length $indent;
            # A line that is indented no more than a function ends it, except its closing brace, its
            # `where` and the end of its parameters.
            pop @open
                while @open && $depth <= $open[-1][0] && $lines[$at] !~ /^\s*(?:[})]|where\b)/;
            pop @open while @open && $depth < $open[-1][0];
            if ($lines[$at] =~ /^\s*$qualifiers\bfn\s+(\w+)/) {
                push @open, [$depth, $1];
            }
        }
        $function[$at] = @open ? $open[-1][1] : '-';
    }
    my %names = map { $_ => 1 } @function;
    return $sources{$file} =
        { lines => \@lines, end => $end, function => \@function, names => \%names };
}

# The report: hits by file and line; branches by file, line and place.
my (%hits, %branches, $file);
open my $in, '<', $lcov or die "$lcov: $!\n";
while (<$in>) {
    chomp;
    if (/^SF:.*?((?:src)\/.*\.rs)$/) {
        $file = $1;
        $file = undef if $file =~ m{^src/loom_models/|/tests\.rs$|^src/guide/} || !-f $file;
    } elsif (/^SF:/) {
        $file = undef;
    } elsif (!defined $file) {
        next;
    } elsif (/^DA:(\d+),(\d+)/) {
        $hits{$file}{$1} += $2;
    } elsif (/^BRDA:(\d+),(\w+),(\w+),([\d-]+)/) {
        # Each instance of a generic function has a count. It is enough if one takes the branch.
        $branches{$file}{"$1 $3"} += $4 eq '-' ? 0 : $4;
    }
}
close $in;
die "$lcov: the report has no file of src/\n" unless %hits;

my (%table, @uncovered, @halves);
for my $file (sort keys %hits) {
    my $source = source($file);
    my $row = $flags{'--files'} ? $file : ($file =~ m{^src/([^/]+?)(?:\.rs|/)})[0];
    for my $line (sort { $a <=> $b } keys %{ $hits{$file} }) {
        next if $line > $source->{end} || $source->{lines}[$line - 1] =~ /^\s*[\])};,?]+$/;
        $table{$row}{lines}++;
        my $hit = $hits{$file}{$line};
        if ($hit) { $table{$row}{reached}++ } else { push @uncovered, [$file, $line] }
    }
    for my $place (sort keys %{ $branches{$file} || {} }) {
        my ($line) = split ' ', $place;
        next if $line > $source->{end};
        $table{$row}{branches}++;
        my $taken = $branches{$file}{$place};
        if ($taken) { $table{$row}{taken}++ } else { push @halves, [$file, $line] }
    }
}

my @floors = qw(sys callback reader grace_period dispatch domain cell collections);
my %floor = map { $floors[$_] => $_ } 0 .. $#floors;
my @rows = sort { ($floor{$a} // 99) <=> ($floor{$b} // 99) || $a cmp $b } keys %table;
my $wide = (sort { $b <=> $a } map { length } @rows, 'module')[0];
my %total;
printf "%-*s %7s %7s %7s   %8s %7s %7s\n", $wide, 'module', 'lines', 'reached', '', 'branches',
    'taken', '';
my $percent = sub { my ($of, $all) = @_; $all ? sprintf('%.1f%%', 100 * $of / $all) : '-' };
my $print = sub {
    my ($name, $row) = @_;
    my ($lines, $reached, $branches, $taken) =
        map { $row->{$_} // 0 } qw(lines reached branches taken);
    printf "%-*s %7d %7d %7s   %8d %7d %7s\n", $wide, $name, $lines, $reached,
        $percent->($reached, $lines), $branches, $taken, $percent->($taken, $branches);
};
for my $name (@rows) {
    $print->($name, $table{$name});
    $total{$_} += $table{$name}{$_} // 0 for qw(lines reached branches taken);
}
$print->('total', \%total);

if ($flags{'--branches'}) {
    print "\nbranches of which one side was not taken:\n";
    for (@halves) {
        my ($file, $line) = @$_;
        (my $text = source($file)->{lines}[$line - 1]) =~ s/^\s+//;
        print "$file:$line: $text\n";
    }
}

# The list.
my (%allowed, @entries, $entry);
open $in, '<', $list or die "$list: $!\n";
while (<$in>) {
    chomp;
    next if /^#/ || /^\s*$/;
    if (/^(\S+) (\w+|-): (\S.*)$/) {
        $entry = { file => $1, function => $2, texts => {}, used => 0, line => $. };
        push @entries, $entry;
        push @{ $allowed{"$1 $2"} }, $entry;
    } elsif (/^\s+(\S.*?)\s*$/ && $entry) {
        $entry->{texts}{$1} = 1;
    } else {
        die "$list:$.: this line is no entry, and belongs to no entry: $_\n";
    }
}
close $in;

my $failed = 0;
for my $e (@entries) {
    if (!-f $e->{file} || !source($e->{file})->{names}{ $e->{function} }) {
        print "$list:$e->{line}: $e->{file} has no function $e->{function}\n";
        $failed = 1;
    }
}
my $unexplained = 0;
for (@uncovered) {
    my ($file, $line) = @$_;
    my $source = source($file);
    my $function = $source->{function}[$line - 1];
    (my $text = $source->{lines}[$line - 1]) =~ s/^\s+|\s+$//g;
    my ($fits) = grep { !%{ $_->{texts} } || $_->{texts}{$text} }
        @{ $allowed{"$file $function"} || [] };
    if ($fits) { $fits->{used}++; next; }
    print "\nlines that no test reaches and that are not in $list:\n" unless $unexplained++;
    print "$file:$line ($function): $text\n";
    $failed = 1;
}
for my $e (grep { !$_->{used} } @entries) {
    print "$list:$e->{line}: no line of $e->{function} in $e->{file} needed this entry this time\n";
}
printf "%d lines that no test reaches, %d of them explained in %s\n",
    scalar @uncovered, @uncovered - $unexplained, $list;
exit $failed;
