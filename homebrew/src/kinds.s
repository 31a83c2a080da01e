; What each kind of creature does. X is the object; it is kept.

.include "memory.inc"

FEET          = 24 ; pixels below its place

HOP_SPEED_X   = .lobyte(-12)
HOP_SPEED     = .lobyte(-4)
HOP_PAUSE     = 32 ; frames
HOP_GRAVITY   = $28
GRAVITY       = $40
FALL_MAX      = 3

WASP_RISE     = 48 ; frames, half a pixel each

PLANT_RISE    = 24 ; frames, a pixel each
PLANT_STAY    = 48
PLANT_NEAR    = 32 ; it stays in when he is so near

EMBER_SPEED   = .lobyte(-6)
EMBER_GRAVITY = $22
EMBER_FALL    = 4
EMBER_PAUSE   = 60

.segment "CODE"

; What its kind does.
act:
  lda obj_type, x
  cmp #TYPE_CAREFUL
  beq careful
  cmp #TYPE_FROG
  beq frog
  cmp #TYPE_WASP
  beq wasp
  cmp #TYPE_PLANT
  bne :+
  jmp plant
: cmp #TYPE_EMBER
  bne beetle
  jmp ember

beetle:
  jsr walk
  lda #GRAVITY
  ldy #FALL_MAX
  jmp fall_and_land

; Turns where the ground ends.
careful:
  jsr beetle
  lda obj_y_speed, x
  bne @done
  lda #12
  ldy obj_dir, x
  cpy #RIGHT
  beq :+
  lda #3
: ldy #FEET
  jsr probe_solid
  bcs @done
  jmp turn
@done:
  rts

frog:
  lda obj_air, x
  bne @hops
  inc obj_timer, x
  lda obj_timer, x
  cmp #HOP_PAUSE
  bcc @stays
  lda #0
  sta obj_timer, x
  sta obj_y_frac, x
  lda #HOP_SPEED
  sta obj_y_speed, x
  lda #AIR_JUMP
  sta obj_air, x
  lda obj_dir, x
  cmp #RIGHT
  beq :+
  lda #HOP_SPEED_X
  sta obj_x_speed, x
  rts
: lda #.lobyte(-HOP_SPEED_X)
  sta obj_x_speed, x
  rts
@hops:
  jsr walk
@stays:
  lda #HOP_GRAVITY
  ldy #FALL_MAX
  jmp fall_and_land

; Up and down; obj_air says which.
wasp:
  lda frame
  lsr
  bcs @turn
  inc obj_y, x
  lda obj_air, x
  bne @turn
  dec obj_y, x
  dec obj_y, x
@turn:
  inc obj_timer, x
  lda obj_timer, x
  cmp #WASP_RISE
  bcc @done
  lda #0
  sta obj_timer, x
  lda obj_air, x
  eor #1
  sta obj_air, x
@done:
  rts

; Up, waits, down, waits. obj_air says which; with him near, it does not come up.
plant:
  lda obj_air, x
  lsr
  bcs @moves
  lda obj_timer, x
  beq :+
  dec obj_timer, x
  rts
: lda obj_air, x
  bne @start
  jsr player_distance
  cmp #PLANT_NEAR
  bcc @done
@start:
  inc obj_air, x
  lda #PLANT_RISE
  sta obj_timer, x
@done:
  rts
@moves:
  lda obj_air, x
  and #2
  bne :+
  dec obj_y, x
  dec obj_y, x
: inc obj_y, x
  dec obj_timer, x
  bne @done
  lda obj_air, x
  clc
  adc #1
  and #3
  sta obj_air, x
  lda #PLANT_STAY
  sta obj_timer, x
  rts

; Leaps, falls back into the lava, waits.
ember:
  lda obj_timer, x
  beq @flies
  dec obj_timer, x
  bne @done
  lda #EMBER_SPEED
  sta obj_y_speed, x
  lda #0
  sta obj_y_frac, x
@done:
  rts
@flies:
  lda #EMBER_GRAVITY
  ldy #EMBER_FALL
  jsr fall
  jsr move_y
  lda obj_y_speed, x
  bmi @done
  lda obj_y, x
  cmp obj_home, x
  bcc @done
  lda obj_home, x
  sta obj_y, x
  lda #EMBER_PAUSE
  sta obj_timer, x
  rts

; Moves it along x; at a wall it turns.
walk:
  jsr move_x
  lda #13
  ldy obj_dir, x
  cpy #RIGHT
  beq :+
  lda #2
: ldy #16
  jsr probe_solid
  bcs turn
  rts
turn:
  lda obj_dir, x
  eor #LEFT | RIGHT
  sta obj_dir, x
  lda #0
  sec
  sbc obj_x_speed, x
  sta obj_x_speed, x
  rts

; Moves it along y under gravity A, up to Y pixels a frame; what is below its feet holds it.
fall_and_land:
  jsr fall
  jsr move_y
  lda obj_y_speed, x
  bmi @done
  lda #4
  ldy #FEET
  jsr probe_solid
  bcs @land
  lda #11
  ldy #FEET
  jsr probe_solid
  bcs @land
@done:
  rts
@land:
  lda obj_y, x
  clc
  adc #FEET
  and #$F0
  sec
  sbc #FEET
  sta obj_y, x
  lda #0
  sta obj_y_speed, x
  sta obj_y_frac, x
  sta obj_y_sub, x
  sta obj_air, x
  rts
